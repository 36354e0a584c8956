"""One method a file; a folder where a method has parts."""
