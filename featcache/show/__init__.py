"""Results as pages and tables: on a terminal, in a file, in a spreadsheet."""
