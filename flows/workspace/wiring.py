"""The composition root: which real part stands behind which port. Each part is built when first asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dataset.labelling.port import LabellingTool
from dataset.storage.git import describe_revision
from dataset.versions.releases import Recorded, Release
from dataset.versions.revision import DatasetStore, DvcDatasetStore
from evaluation import overlays
from evaluation.overlays import Artist
from flows.workspace.journal import Journal
from flows.workspace.served import ModelCopies
from flows.workspace.servers import running_server_url
from flows.workspace.telling import SilentTeller, Teller
from maskloop.blobs.opening import open_blobs
from maskloop.blobs.port import Blobs
from maskloop.blobs.shared_files import SharedFiles
from maskloop.clock import Clock, SystemClock
from maskloop.database.address import sqlite_url
from maskloop.errors import ConfigurationError, UnavailableError
from maskloop.folding.reader import StateReader
from maskloop.ledger.leases import leased
from maskloop.ledger.port import Ledger
from maskloop.ledger.sql_ledger import SqlLedger
from maskloop.settings.workspace_settings import Settings
from maskloop.state.loop_state import LoopState, Rollout
from maskloop.wording import count
from maskloop.workspace import Workspace, refuse_unusable_place
from models.cluster.versions import refuse_without_ray, refuse_without_search
from models.imports import without_compiler
from models.ports import Engines, Exporter, Machine, Predictors, Searcher, Trainer
from monitoring.channels.port import Channel
from monitoring.pages.evidently_report import EvidentlyReports
from monitoring.pages.feature_report import FeatureReport
from monitoring.samples.correction_log import SqlCorrectionLog
from monitoring.samples.corrections import CorrectionLog
from monitoring.samples.sample_log import SampleLog, SqlSampleLog
from monitoring.sketches.sketch_log import SqlSketchLog
from registry.mlflow_adapter.files import bring_files_along, holds_runs
from registry.ports import ModelStore, RunTracker
from serving.access.key_file import move_keys
from serving.access.keys import KeyStore
from serving.access.sql_key_book import SqlKeyBook
from serving.rollout.analysis import Analysis
from serving.rollout.pairs import PairLog
from serving.rollout.sql_pair_log import SqlPairLog
from serving.rollout.watcher import RolloutWatcher
from serving.sampling.quota_book import QuotaBook
from serving.sampling.sql_quota_book import SqlQuotaBook

_TRACKING_SCHEMES = ("http://", "https://", "sqlite://", "postgresql", "mysql", "mssql")
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class App:
    """One workspace with its parts. Tests hand in fakes by replacing the cached parts in a subclass."""

    workspace: Workspace
    clock: Clock = field(default_factory=SystemClock)
    teller: Teller = field(default_factory=SilentTeller)
    actor: str = "maskloop"

    @property
    def settings(self) -> Settings:
        """The workspace's settings."""
        return self.workspace.settings

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger: SQLite in the workspace, or the database the settings name."""
        own = sqlite_url(self.workspace.ledger_file)
        if not (shared := self.settings.servers.shared_url):
            return SqlLedger(own, clock=self.clock)
        ledger = SqlLedger(shared, clock=self.clock)
        is_begun_anew = self.workspace.ledger_file.exists() and not ledger.entries(limit=1)
        if is_begun_anew and SqlLedger(own, clock=self.clock).entries(limit=1):
            raise ConfigurationError(
                "the database in the settings holds no ledger, and this workspace has one in a file",
                where=str(self.workspace.ledger_file),
                hint="entries are not moved by themselves: take the setting out again, or move the file away "
                "to begin without its history",
            )
        return ledger

    @cached_property
    def blobs(self) -> Blobs:
        """Files that several hosts share: in the workspace, or where the settings say."""
        return open_blobs(self.settings.servers.blob_url, self.workspace.state_dir)

    @cached_property
    def shared_files(self) -> SharedFiles:
        """Brings this workspace's copies of shared files up to date, and sends them."""
        return SharedFiles(self.workspace.state_dir, self.blobs if self.settings.servers.blob_url else None)

    @cached_property
    def data(self) -> DatasetStore:
        """The data versions, in git and DVC."""
        if not self.settings.servers.shared_url:
            return DvcDatasetStore(self.workspace)

        def read_recorded() -> Recorded:
            state = self.state()
            made = (
                Release(one.tag, one.fingerprint, one.dvc_md5, one.sentence(), one.git_commit)
                for one in state.versions
            )
            return Recorded({one.tag: one for one in made}, state.data_tag)

        lease_s = self.settings.retraining.lease_s
        return DvcDatasetStore(
            self.workspace, read_recorded, lambda: leased(self.ledger, "ingest", ttl_s=lease_s)
        )

    @cached_property
    def models(self) -> ModelStore:
        """The registered models, in MLflow."""
        from registry.mlflow_adapter.model_store import MlflowModelStore

        return MlflowModelStore(
            self.tracking_uri, self.settings.model_name, REPOSITORY, check=self.prepare_mlflow
        )

    @cached_property
    def tracker(self) -> RunTracker:
        """The training runs, in MLflow."""
        from registry.mlflow_adapter.tracker import MlflowRunTracker

        return MlflowRunTracker(
            self.tracking_uri,
            self.settings.model_name,
            server_url=running_server_url(self.workspace, "mlflow"),
            model_name=self.settings.model_name,
            system_metrics_every_s=5.0,
            artifacts_dir=self.workspace.mlflow_dir / "artifacts" if self._mlflow_is_ours else None,
            check=self.prepare_mlflow,
        )

    @cached_property
    def samples(self) -> SampleLog:
        """The log of production samples."""
        monitoring = self.settings.monitoring
        return SqlSampleLog(
            self.workspace.samples_dir,
            url=self.settings.servers.database_url,
            pictures=self.blobs.below("samples") if self.settings.servers.blob_url else None,
            keep_pictures=monitoring.keep_pictures,
            retention_days=monitoring.retention_days,
            clock=self.clock,
        )

    @cached_property
    def sketches(self) -> SqlSketchLog:
        """What all samples were like, by hour: a few kilobytes for each feature."""
        url = self.settings.servers.database_url or sqlite_url(self.workspace.sketches_file)
        return SqlSketchLog(url)

    @cached_property
    def pairs(self) -> PairLog:
        """Answers of champion and challenger about the same pictures during a rollout."""
        url = self.settings.servers.shared_url or sqlite_url(self.workspace.pairs_file)
        return SqlPairLog(url, keep_pictures=self.settings.rollout.max_slice_pictures)

    @cached_property
    def corrections(self) -> CorrectionLog:
        """People's corrections of answers."""
        monitoring = self.settings.monitoring
        return SqlCorrectionLog(
            self.workspace.samples_dir,
            url=self.settings.servers.database_url,
            keep_pictures=monitoring.keep_pictures,
            retention_days=monitoring.retention_days,
            clock=self.clock,
        )

    @cached_property
    def labelling_tool(self) -> LabellingTool:
        """Where pictures are labelled: a folder, Label Studio, or CVAT."""
        asked = self.settings.labelling
        if asked.tool == "folder":
            from dataset.labelling.folder_tool import FolderTool

            return FolderTool(self.workspace.root / asked.folder)
        from dataset.labelling.cvat import Cvat
        from dataset.labelling.cvat_api import CvatApi
        from dataset.labelling.label_studio import MAX_TITLE_CHARACTERS, LabelStudio
        from dataset.labelling.label_studio_api import LabelStudioApi

        title = asked.project or f"maskloop {self.settings.model_name}"[:MAX_TITLE_CHARACTERS]
        if asked.tool == "cvat":
            return Cvat(
                CvatApi(asked.url, asked.token_variable, organization=asked.organization),
                title=title,
                pictures_per_job=asked.pictures_per_job,
                finished_stage=asked.finished_stage,
            )
        return LabelStudio(
            LabelStudioApi(asked.url, asked.token_variable), title=title, outlines=asked.outlines
        )

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Where people are told something, by name."""
        from monitoring.channels.apprise_channel import AppriseChannel

        named = self.settings.notifications.channels
        return {name: AppriseChannel(channel.url_variable) for name, channel in named.items()}

    @cached_property
    def rollout_watcher(self) -> RolloutWatcher:
        """Analyses the rollout under way without reading anything twice."""
        return RolloutWatcher(self.pairs, self.corrections, self.settings.rollout, self.settings.serving.slo)

    @cached_property
    def quotas(self) -> QuotaBook:
        """What every process of the service took of the day's quotas of samples."""
        url = self.settings.servers.database_url or sqlite_url(self.workspace.quotas_file)
        return SqlQuotaBook(url, least_workers=self.settings.serving.workers)

    @cached_property
    def keys(self) -> KeyStore:
        """Who may ask the service: in the workspace, or in the database that hosts share."""
        url = self.settings.servers.database_url
        book = SqlKeyBook(url) if url else SqlKeyBook.at(self.workspace.keys_file)
        if num_moved := move_keys(self.workspace.keys_file_before, book):
            self.teller.say(f"{count(num_moved, 'API key')} moved from a file into the database")
        return KeyStore(book, clock=self.clock)

    def analyse_rollout(self, rollout: Rollout) -> Analysis:
        """Return the analysis of all pairs of a rollout so far."""
        return self.rollout_watcher.analyse(rollout)

    @cached_property
    def trainer(self) -> Trainer:
        """Makes models: torch, which takes a second to import, or several of it that Ray starts."""
        if self.settings.training.cluster.workers > 1:
            refuse_without_ray()
            from models.cluster.ray_trainer import RayTrainer

            return RayTrainer()
        from models.training.trainer import TorchTrainer

        return TorchTrainer()

    @cached_property
    def searcher(self) -> Searcher:
        """Runs the trials of a search: Ray Tune, with Optuna."""
        refuse_without_search()
        from models.cluster.ray_search import RayTuneSearcher

        return RayTuneSearcher()

    @cached_property
    def predictors(self) -> Predictors:
        """Loads models: torch."""
        return self.open_models()[0]

    @cached_property
    def exporter(self) -> Exporter:
        """Writes and runs models in other formats: torch, OpenVINO, ONNX."""
        from models.exports.exporter import TorchExporter

        return TorchExporter()

    @property
    def open_models(self) -> Callable[[], tuple[Predictors, Machine]]:
        """Opens the ports of `predictors` and `machine` in another process, to which it is sent."""
        return open_models

    @cached_property
    def engines(self) -> Engines:
        """Runs models in other libraries than torch: OpenVINO, ONNX Runtime."""
        with without_compiler():
            from models.engines.engines import LocalEngines

        return LocalEngines()

    @cached_property
    def machine(self) -> Machine:
        """What models compute with here, as torch sees it."""
        return self.open_models()[1]

    @property
    def feature_report(self) -> FeatureReport:
        """Shows every feature of a window: Evidently."""
        return EvidentlyReports()

    @property
    def artist(self) -> Artist:
        """Draws over pictures: Pillow."""
        return overlays

    @cached_property
    def code_revision(self) -> str:
        """The git revision of maskloop itself."""
        return describe_revision(REPOSITORY)

    @property
    def copies(self) -> ModelCopies:
        """The verified local copies of registered models."""
        return ModelCopies(
            self.workspace.models_dir,
            self.shared_files,
            lambda: self.models,
            lambda: self.predictors,
            self.settings.training.device,
        )

    @property
    def journal(self) -> Journal:
        """The stories' access to the ledger."""
        return Journal(self.ledger, self.state, self.teller)

    @property
    def _mlflow_is_ours(self) -> bool:
        named = os.environ.get("MLFLOW_TRACKING_URI") or self.settings.servers.mlflow_tracking_uri
        return not named

    def prepare_mlflow(self) -> None:
        """See to it that the workspace's own MLflow is the one the ledger knows, with its files beside it.

        Raises:
            UnavailableError: if its database is gone, or begun anew, and the ledger knows of versions.
            StorageError: if the workspace was copied without MLflow's files.
        """
        if not self._mlflow_is_ours:
            return
        workspace, database = self.workspace, self.workspace.mlflow_dir / "mlflow.db"
        if not holds_runs(database) and self.state().candidates:
            raise UnavailableError(
                "MLflow's database is gone, or empty",
                where=str(database),
                hint="put it back, from a backup if need be: the ledger names versions that were in it",
            )
        if database.exists():
            for old in bring_files_along(workspace.root, database, workspace.mlflow_dir / "artifacts"):
                self.teller.say(f"this workspace was copied or moved: MLflow named files in {old} until now")

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is: environment, settings, a running `maskloop up`, or the workspace's files."""
        named = os.environ.get("MLFLOW_TRACKING_URI") or self.settings.servers.mlflow_tracking_uri
        if named and not named.startswith(_TRACKING_SCHEMES):
            raise ConfigurationError(
                "MLflow cannot be reached by such an address",
                where=named,
                hint=f"it begins with one of {', '.join(_TRACKING_SCHEMES)}",
            )
        own = running_server_url(self.workspace, "mlflow")
        return named or own or f"sqlite:///{self.workspace.mlflow_dir / 'mlflow.db'}"

    def state(self) -> LoopState:
        """Read the ledger into the state it adds up to. Raises IntegrityError if it was changed by hand."""
        return self.state_reader.read()

    @cached_property
    def state_reader(self) -> StateReader:
        """Reads the ledger without reading anything twice."""
        return StateReader(self.ledger)


def open_models() -> tuple[Predictors, Machine]:
    """Open the ports that load models and count cores, in this process, which need not have the workspace."""
    with without_compiler():
        from models.answering.predictors import TorchPredictors
        from models.machine import TorchMachine

    return TorchPredictors(), TorchMachine()


def open_app(root: Path, *, teller: Teller | None = None, actor: str = "") -> App:
    """Open a workspace. Raises ConfigurationError if its `maskloop.toml` or its path cannot be used."""
    refuse_unusable_place(root.resolve())
    workspace = Workspace(root.resolve())
    app = App(workspace, teller=teller or SilentTeller(), actor=actor or "maskloop")
    app.settings  # noqa: B018  - fail now, in plain words, and not in the middle of a story
    return app
