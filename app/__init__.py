"""The window and the command line of the MRI workstation."""
