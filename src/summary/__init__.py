"""What a finished sweep says: from the records of its cells to the numbers, sentences and charts of its report.

Nothing here knows where records come from (`src.tracking.records` does), and nothing here imports torch or mlflow.
"""
