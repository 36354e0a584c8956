"""One command of `adapters` a file: options, a call, what is printed."""
