"""The site of the admin. What staff may do on it is in `apps.templates.admin`, where Django looks."""
