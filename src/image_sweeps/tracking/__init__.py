"""MLflow, and the figures that go there. No other module imports mlflow."""
