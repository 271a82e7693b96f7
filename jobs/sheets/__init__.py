"""Sheets: files of rows under named columns, CSV and Parquet, and the job lines that their rows become."""
