"""The recording of runs in MLflow, and their figures. No module outside this package imports mlflow."""
