"""The command line: words, bars, exit codes."""
