"""The prompt workbench. Imports point down; pyproject.toml holds the order.

    sockets/     consumers.py, routing.py        the legacy WebSockets
    prompts/     langchain_services.py: intent, optimise, generate, run
                 deepseek_service.py by a model, mock_langchain.py by rules
    curation/    admin.py                        the admin
    library/     views.py, urls.py, services.py (writes), selectors.py (reads): the templates
    search/      finds them, over SQLite and PostgreSQL
    rules/       what is known of prompts without a model: pure functions over data
    models.py    the tables

At the bottom, without Django: rendering.py, variables.py, answers.py, categories.py.
"""
