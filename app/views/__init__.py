"""Widgets that show: signals go out, setters come in. They know neither the session nor reconstruction."""
