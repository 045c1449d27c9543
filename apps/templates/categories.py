"""The closed set of categories: of templates, and of what a query may be about."""

from __future__ import annotations

__all__ = ["CATEGORIES", "TEMPLATE_CATEGORIES", "UNKNOWN"]

CATEGORIES = (
    "marketing_email",
    "social_post",
    "ad_copy",
    "product_description",
    "blog_article",
    "seo",
    "sales_outreach",
    "customer_support",
    "code_generation",
    "code_review",
    "debugging",
    "sql_data",
    "data_analysis",
    "summarization",
    "translation",
    "rewriting",
    "brainstorming",
    "planning",
    "education",
    "creative_writing",
    "career",
    "legal_business",
    "meeting_notes",
    "research",
)
UNKNOWN = "unknown"
"""The intent of a query that none of them fits, and the category of a template whose text is such a query."""
TEMPLATE_CATEGORIES = (*CATEGORIES, UNKNOWN)
