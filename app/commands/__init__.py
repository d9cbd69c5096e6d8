"""One file a sub-command: `add_arguments(parser)` and `run(arguments) -> exit status`. None of them imports Qt."""
