"""Where everything of one workspace lies. Importing or building this touches no disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from maskloop.errors import ConfigurationError
from maskloop.settings.network_rules import check_cluster, refuse
from maskloop.settings.workspace_settings import Settings, load_settings


def refuse_unusable_place(root: Path) -> None:
    """Refuse a folder below which the loop's servers cannot keep their databases.

    MLflow and Prefect take a database's address as text, where a question mark ends the file's name.

    Raises:
        ConfigurationError: if its path holds a question mark.
    """
    if "?" in str(root):
        raise ConfigurationError(
            "a workspace's path cannot hold a question mark: it would cut off the names of databases",
            where=str(root),
            hint="Choose another folder, or rename this one",
        )


def _with_workers(settings: Settings, workers: int) -> Settings:
    """Return the settings with another number of workers. Raises ConfigurationError if it cannot be."""
    cluster = settings.training.cluster
    least = min(cluster.least_workers, workers)
    changed = cluster.model_copy(update={"workers": workers, "least_workers": least})
    training = settings.training.model_copy(update={"cluster": changed})
    refuse(check_cluster(training))
    return settings.model_copy(update={"training": training})


@dataclass(frozen=True)
class Workspace:
    """One folder with `maskloop.toml`, the data and everything the loop writes.

    `data/` and `data.dvc` are the user's; all else lies below `.maskloop/`, which git ignores.
    """

    root: Path
    workers: int | None = None
    """Processes of a training, in place of what `maskloop.toml` says."""

    @cached_property
    def settings(self) -> Settings:
        """The parsed settings. Raises ConfigurationError on first use if they are wrong."""
        settings = load_settings(self.settings_file)
        return settings if self.workers is None else _with_workers(settings, self.workers)

    @property
    def settings_file(self) -> Path:
        """`maskloop.toml`."""
        return self.root / "maskloop.toml"

    @property
    def data_dir(self) -> Path:
        """The DVC-tracked folder of the current data version."""
        return self.root / "data"

    @property
    def state_dir(self) -> Path:
        """The folder of everything the loop writes."""
        return self.root / ".maskloop"

    @property
    def ledger_file(self) -> Path:
        """The SQLite ledger, unless settings name another database."""
        return self.state_dir / "ledger.db"

    @property
    def pairs_file(self) -> Path:
        """What the models of a rollout said about the same pictures, unless settings name a database."""
        return self.state_dir / "rollouts" / "pairs.db"

    @property
    def slices_dir(self) -> Path:
        """Pictures that rollouts failed on, one folder per slice."""
        return self.state_dir / "slices"

    @property
    def baselines_dir(self) -> Path:
        """What each champion's own pictures look like, one folder per weights digest."""
        return self.state_dir / "baselines"

    def baseline_dir(self, weights_digest: str) -> Path:
        """Return the folder of what a model's own held-out pictures look like; the pooled one sorts first."""
        return self.baselines_dir / weights_digest

    def quality_file(self, weights_digest: str) -> Path:
        """Return what the estimate of a model's quality without labels learned from."""
        return self.baseline_dir(weights_digest) / "quality" / "lessons.npz"

    def detector_file(self, weights_digest: str) -> Path:
        """Return the file of the evidence over time that a champion's production has changed."""
        return self.baseline_dir(weights_digest) / "detector" / "state.npz"

    def shifts_dir(self, weights_digest: str) -> Path:
        """Return the folder of what changed pictures look like to a champion."""
        return self.baseline_dir(weights_digest) / "shifts"

    @property
    def samples_dir(self) -> Path:
        """The sample log's database and kept pictures."""
        return self.state_dir / "samples"

    @property
    def quotas_file(self) -> Path:
        """What each process of the service took of a day's samples, unless settings name a database."""
        return self.samples_dir / "quotas.db"

    @property
    def keys_file(self) -> Path:
        """The API keys, without their secrets, unless settings name a database."""
        return self.state_dir / "keys.db"

    @property
    def keys_file_before(self) -> Path:
        """The API keys of versions that kept them in no database."""
        return self.state_dir / "keys.json"

    @property
    def sketches_file(self) -> Path:
        """What all samples were like, by hour, unless settings name a database."""
        return self.samples_dir / "sketches.db"

    @property
    def training_dir(self) -> Path:
        """Checkpoints, one folder per training."""
        return self.state_dir / "training"

    @property
    def tuning_dir(self) -> Path:
        """Searches over training settings, one folder each."""
        return self.state_dir / "tuning"

    @property
    def datasets_dir(self) -> Path:
        """Materialised, immutable data versions."""
        return self.state_dir / "datasets"

    @property
    def models_dir(self) -> Path:
        """Verified local copies of registered models, one folder per weights digest."""
        return self.state_dir / "models"

    @property
    def exports_dir(self) -> Path:
        """Models in other formats, one folder per digest of an export's manifest."""
        return self.state_dir / "exports"

    @property
    def engines_dir(self) -> Path:
        """Which engine runs each model on this machine, and the exports it runs; by weights digest."""
        return self.state_dir / "engines"

    @property
    def reports_dir(self) -> Path:
        """Drift and loop reports as HTML."""
        return self.state_dir / "reports"

    @property
    def loop_page(self) -> Path:
        """The page that `maskloop report` writes."""
        return self.reports_dir / "loop.html"

    def view_page(self, view: str) -> Path:
        """Return the page of a view: ``executive``, ``on-call`` or ``debug``."""
        return self.reports_dir / f"{view}.html"

    @property
    def check_page(self) -> Path:
        """The page that `maskloop data check` writes."""
        return self.reports_dir / "data-check.html"

    @property
    def check_file(self) -> Path:
        """What the newest data check found, in short."""
        return self.reports_dir / "data-check.json"

    @property
    def data_page(self) -> Path:
        """The page that `maskloop data report` writes."""
        return self.reports_dir / "data-report.html"

    @property
    def metrics_page(self) -> Path:
        """The page that `maskloop metrics` writes."""
        return self.reports_dir / "metrics.html"

    @property
    def simulation_page(self) -> Path:
        """The page that `maskloop monitor simulate` writes."""
        return self.reports_dir / "simulation.html"

    @property
    def gameday_page(self) -> Path:
        """The page of the newest game day."""
        return self.reports_dir / "gameday.html"

    @property
    def incident_page(self) -> Path:
        """The page of incidents."""
        return self.reports_dir / "incidents.html"

    def verdict_dir(self, version: str) -> Path:
        """Return the folder of what was kept about a version's verdict."""
        return self.reports_dir / "verdicts" / f"version-{version}"

    def verdict_page(self, version: str) -> Path:
        """Return the page by which a version is decided about."""
        return self.verdict_dir(version) / "evidence.html"

    def request_page(self, request_id: str) -> Path:
        """Shows the pictures of a request for labels, with the champion's answers and the reasons."""
        return self.reports_dir / "labels" / request_id / "index.html"

    @property
    def mlflow_dir(self) -> Path:
        """The embedded MLflow's database and artifacts."""
        return self.state_dir / "mlflow"

    @property
    def prefect_dir(self) -> Path:
        """The embedded Prefect's home."""
        return self.state_dir / "prefect"

    @property
    def locks_dir(self) -> Path:
        """Locks between processes."""
        return self.state_dir / "locks"
