"""Methods side by side on the same few-shot draws: cells that survive a kill, tables, significance, plots."""
