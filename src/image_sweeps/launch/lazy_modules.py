"""Modules of MLflow and of its dependencies that are imported only when they are needed, as observed in MLflow 3.17.

Every cell was observed to import them again after its fork; the fork server imports them once.
"""

LAZY = (
    *("alembic.command", "alembic.config", "mlflow.utils.search_logged_model_utils"),
    *("git", "opentelemetry.sdk.metrics", "pyarrow.pandas_compat", "sklearn.datasets", "sklearn.model_selection"),
    *("sqlalchemy.dialects.sqlite", "torchvision.transforms.v2", "mlflow.models.display_utils"),
    *("mlflow.pyfunc.scoring_server", "mlflow.pyfunc.utils.environment", "mlflow.pyfunc.utils.serving_data_parser"),
    *("mlflow.store.tracking.sqlalchemy_workspace_store", "mlflow.tracing.export.utils"),
    *("mlflow.tracing.processor.otel", "mlflow.tracing.utils.environment"),
)
