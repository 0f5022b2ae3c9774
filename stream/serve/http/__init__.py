"""HTTP: questions as they are asked, answers as they are given, and everything between the socket and `stream.serve.desk`."""
