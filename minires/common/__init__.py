"""What several rooms share and what knows no network: files, pickles, pictures, the machine."""
