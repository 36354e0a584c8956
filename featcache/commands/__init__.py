"""One command of `featcache` a file: options, a call, what is printed."""
