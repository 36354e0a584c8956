"""A saved head for elsewhere: as an ONNX file, and as a repository on the Hugging Face hub."""
