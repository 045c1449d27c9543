"""What is asked about prompts and how it is answered; `apps.templates.langchain_services` puts it together."""
