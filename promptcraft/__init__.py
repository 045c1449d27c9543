"""The Django project: settings, surface, dispatcher."""
