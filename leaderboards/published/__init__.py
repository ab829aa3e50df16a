"""What others published, as data: ``numbers.py`` reads the CSV files of this folder."""
