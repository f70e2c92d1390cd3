"""What a finished sweep says: from the records of its cells to the numbers, sentences and charts of its report.

Nothing here knows where records come from (`records` does), and nothing here imports torch.
"""
