"""What is wrong with the data of a cache: mislabelled images, twins, leaks, names, outliers; one question a file."""
