"""Dialogs: for what needs several answers at once. Messages are banners, never dialogs."""
