"""Modules of MLflow, and of what is below it, that are imported where they are needed: seen in MLflow 3.17.

A cell was seen to import them after its fork, each time anew; the fork server does so once.
"""

LAZY = (
    *("alembic.command", "alembic.config", "mlflow.utils.search_logged_model_utils"),
    *("git", "opentelemetry.sdk.metrics", "pyarrow.pandas_compat", "sklearn.datasets", "sklearn.model_selection"),
    *("sqlalchemy.dialects.sqlite", "torchvision.transforms.v2", "mlflow.models.display_utils"),
    *("mlflow.pyfunc.scoring_server", "mlflow.pyfunc.utils.environment", "mlflow.pyfunc.utils.serving_data_parser"),
    *("mlflow.store.tracking.sqlalchemy_workspace_store", "mlflow.tracing.export.utils"),
    *("mlflow.tracing.processor.otel", "mlflow.tracing.utils.environment"),
)
