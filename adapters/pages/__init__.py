"""Reports to look at: which result a name means, and the page of a saved run."""
