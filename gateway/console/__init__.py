"""The web console: files that the admin listener serves, and a browser runs. No code of ours
runs on the server for it: everything it shows and changes goes through the admin API."""
