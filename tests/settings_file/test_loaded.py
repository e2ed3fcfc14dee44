"""A configuration in the user's own code: loader arguments, autocast, what is applied by hand, files."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from report import sample_tuning

import advisor
from advisor import knobs
from advisor.errors import SettingsWarning, UsageError
from advisor.hardware import probe
from advisor.settings_file import loaded as configuration
from advisor.settings_file.exports import hardware_words
from advisor.settings_file.loaded import LoadedConfig, check_target
from advisor.worker_seeds import WorkerSeeds
from advisor.worker_threads import WorkerThreads
from advisor.workflows.tune import Tuned


def file(tmp_path: Path, settings: dict[str, Any], **entries: Any) -> Path:
    import yaml

    path = tmp_path / "advisor.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "settings": settings, **entries}))
    return path


def loaded(**settings: Any) -> LoadedConfig:
    return LoadedConfig(settings=settings)


@pytest.fixture(autouse=True)
def _switches_as_they_were() -> Iterator[None]:
    threads, products, benchmark = (
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
    )
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.benchmark = benchmark


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("mine")
    with pytest.raises(UsageError, match="overwrite=True"):
        LoadedConfig(settings={}, text="new").save(tmp_path / "advisor.yaml")
    assert (tmp_path / "advisor.yaml").read_text() == "mine"


def test_it_is_overwritten_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("mine")
    LoadedConfig(settings={}, text="new").save(tmp_path / "advisor.yaml", overwrite=True)
    assert (tmp_path / "advisor.yaml").read_text() == "new"


def test_what_was_loaded_is_saved_as_it_was(tmp_path: Path) -> None:
    path = file(tmp_path, {"num_workers": 2})
    saved = advisor.load(path).save(tmp_path / "copy.yaml")
    assert saved.read_text() == path.read_text()


def test_of_several_files_none_is_written_where_one_is_there(tmp_path: Path) -> None:
    (tmp_path / "deepspeed.json").write_text("mine")
    artifacts = loaded(num_workers=2).export("accelerate", "deepspeed")
    with pytest.raises(UsageError, match=r"deepspeed\.json already exists"):
        configuration.write_artifacts(artifacts, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["deepspeed.json"]


def test_a_target_without_a_form_is_told_with_those_that_have_one() -> None:
    with pytest.raises(UsageError, match=r"'keras'.*accelerate, advisor, deepspeed"):
        loaded().export("keras")


# --- the loader -----------------------------------------------------------------------------------------------------


def test_loader_arguments_are_those_that_are_set(tmp_path: Path) -> None:
    settings = {"num_workers": 3, "prefetch_factor": 4, "pin_memory": True, "persistent_workers": True}
    path = file(tmp_path, {**settings, "precision": "bf16"}, found={"training": {"generators": []}})
    assert advisor.load(path).dataloader() == settings


def test_no_settings_are_no_loader_arguments() -> None:
    assert loaded().dataloader() == {}


def test_without_workers_nothing_is_said_of_workers() -> None:
    found = loaded(num_workers=0, prefetch_factor=4, persistent_workers=True, pin_memory=False).dataloader()
    assert found == {"num_workers": 0, "pin_memory": False}


def test_a_loader_takes_the_arguments() -> None:
    found = loaded(num_workers=1, prefetch_factor=4, persistent_workers=True, micro_batch=2).dataloader()
    loader = torch.utils.data.DataLoader(torch.arange(6), **found)  # type: ignore[arg-type]
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]


def test_a_setting_for_workers_calls_the_scripts_own_init_too() -> None:
    found = loaded(num_workers=2, worker_threads=1).dataloader(own_init)["worker_init_fn"]
    assert isinstance(found, WorkerThreads)
    assert isinstance(found.then, WorkerSeeds)
    assert (found.threads, found.then.then) == (1, own_init)
    assert "worker_init_fn" not in loaded(num_workers=0, worker_threads=1).dataloader()


def own_init(_worker: int) -> None:
    pass


@pytest.mark.parametrize(
    ("training", "kind"),
    [
        ({"workers": 0, "generators": ["Pictures.rng"]}, WorkerSeeds),
        ({}, WorkerSeeds),
        ({"workers": 0, "generators": []}, type(own_init)),
        ({"workers": 2, "generators": ["Pictures.rng"]}, type(own_init)),
    ],
    ids=["held", "not known", "none", "as the script has it"],
)
def test_workers_are_seeded_where_they_would_repeat_draws(tmp_path: Path, training: dict[str, Any], kind: type) -> None:
    config = advisor.load(file(tmp_path, {"num_workers": 2}, found={"training": training}))
    assert isinstance(config.dataloader(own_init)["worker_init_fn"], kind)


def test_a_loader_gets_no_worker_init_fn_that_nobody_has_said_it_needs() -> None:
    """`DataLoader(..., worker_init_fn=own, **config.dataloader())` would end the script."""
    assert "worker_init_fn" not in LoadedConfig(settings={"num_workers": 4}).dataloader()


BASELINE = {"batch_size": 32, "samples_per_update": 128, "processes": 2}
"""Two backwards of each process make an update."""


@pytest.mark.parametrize(
    ("settings", "training", "batch_size", "accumulation"),
    [
        ({}, BASELINE, None, None),
        ({"micro_batch": 16}, BASELINE, 16, 4),
        ({"micro_batch": 16}, {}, 16, None),
        ({"micro_batch": 24}, BASELINE, 24, None),
        ({"global_batch": 256}, BASELINE, 64, 2),
        ({"global_batch": 256}, {}, None, None),
        ({"global_batch": 255}, BASELINE, None, None),
        ({"global_batch": 64, "micro_batch": 16}, {}, 16, 4),
        ({"global_batch": 256}, {"batch_size": "32", "samples_per_update": -1, "processes": True}, None, None),
    ],
)
def test_the_batch_size_is_said_where_it_is_known(
    tmp_path: Path, settings: dict[str, Any], training: dict[str, Any], batch_size: Any, accumulation: Any
) -> None:
    config = LoadedConfig(
        settings=settings, text=file(tmp_path, settings, found={"training": training}).read_text(encoding="utf-8")
    )
    assert (config.dataloader().get("batch_size"), config.accumulation) == (batch_size, accumulation)


# --- autocast -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_is_the_one_of_the_settings(name: str, dtype: torch.dtype) -> None:
    with loaded(precision=name).autocast("cpu"):
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") is dtype


@pytest.mark.parametrize("settings", [{}, {"precision": "tf32"}])
def test_autocast_without_a_lower_precision_does_nothing(settings: dict[str, Any]) -> None:
    with loaded(**settings).autocast(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")


# --- apply ----------------------------------------------------------------------------------------------------------


def convolution() -> torch.nn.Module:
    return torch.nn.Conv2d(3, 4, 3)


def test_nothing_is_applied_where_nothing_is_set() -> None:
    model = convolution()
    assert loaded().apply(model) is model


def test_threads_are_set() -> None:
    loaded(threads=3).apply()
    assert torch.get_num_threads() == 3


def test_tf32_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    loaded(precision="tf32").apply()
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)


def test_cudnn_may_try_its_algorithms() -> None:
    loaded(cudnn_benchmark=True).apply()
    assert torch.backends.cudnn.benchmark


def test_the_model_gets_its_memory_format() -> None:
    model = loaded(memory_format="channels_last").apply(convolution())
    assert model.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_model_is_compiled_after_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: seen.append(model.weight.clone()) or model)
    loaded(compile="default", memory_format="channels_last").apply(convolution())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what torch imports
def test_the_model_comes_back_compiled() -> None:
    model = convolution()
    compiled = loaded(compile="default").apply(model)
    assert type(compiled).__name__ == "OptimizedModule"
    assert compiled._orig_mod is model


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("form", ["fused", "foreach"])
def test_the_optimizer_steps_as_one_that_was_made_so(kind: Any, form: str) -> None:
    def trained(optimizer: torch.optim.Optimizer, weight: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            optimizer.zero_grad()
            weight.square().sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return weight.detach()

    mine, theirs = (torch.linspace(-1, 1, 7, requires_grad=True) for _ in range(2))
    made = kind([theirs], lr=0.1, **{form: True})
    given = kind([mine], lr=0.1)
    loaded(fused_optimizer=form).apply(optimizer=given)
    given.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    assert all(group[form] for group in given.param_groups)
    assert torch.equal(trained(given, mine), trained(made, theirs))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"memory_format": "channels_last"}, "memory_format=channels_last: no model was given"),
        ({"compile": "default"}, "compile=default: no model was given"),
        ({"fused_optimizer": "fused"}, "fused_optimizer=fused: no optimizer was given"),
        ({"cache_dataset": True}, "cache_dataset=True: cache each sample"),
        ({"activation_checkpointing": True}, "activation_checkpointing=True: call the repeated blocks"),
        ({"precision": "fp16"}, "precision=fp16: scale the loss"),
        ({"micro_batch": 4, "global_batch": 16}, "micro_batch=4: step the optimizer after every 4 backward passes"),
    ],
)
def test_what_is_not_applied_is_told_once_and_why(settings: dict[str, Any], told: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded(**settings).apply()
    assert [warning.category for warning in caught] == [SettingsWarning]
    assert told in str(caught[0].message)
    assert caught[0].filename == __file__


def test_an_optimizer_without_the_form_is_told_and_left() -> None:
    optimizer = torch.optim.RMSprop([torch.zeros(1, requires_grad=True)], foreach=False)
    with pytest.warns(SettingsWarning, match="RMSprop has no fused form"):
        loaded(fused_optimizer="fused").apply(optimizer=optimizer)
    assert not optimizer.param_groups[0].get("fused")


def test_an_optimizer_that_has_stepped_is_left_as_it_is() -> None:
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    with pytest.warns(SettingsWarning, match="AdamW has already taken steps"):
        loaded(fused_optimizer="fused").apply(optimizer=optimizer)
    assert not optimizer.param_groups[0]["fused"]


# --- elsewhere ------------------------------------------------------------------------------------------------------


def found_here(**changes: Any) -> dict[str, Any]:
    here = hardware_words(probe(folder=Path.cwd()))
    return {"hardware": {**here, **changes}, "versions": {"torch": str(torch.__version__)}}


def test_nothing_is_told_where_it_was_found_here(tmp_path: Path) -> None:
    assert advisor.load(file(tmp_path, {"num_workers": 2, "compile": "default"}, found=found_here())).settings


def test_other_hardware_is_told_when_a_file_is_loaded(tmp_path: Path) -> None:
    path = file(tmp_path, {"num_workers": 2}, found=found_here(usable_cpus=512.0))
    with pytest.warns(SettingsWarning, match="found with 512 CPUs") as caught:
        advisor.load(path)
    assert caught[0].filename == __file__


def test_a_file_that_changes_nothing_has_nothing_to_lose(tmp_path: Path) -> None:
    assert advisor.load(file(tmp_path, {}, found=found_here(cpu="Another"))).settings == {}


def test_another_torch_is_told(tmp_path: Path) -> None:
    found = {**found_here(), "versions": {"torch": "1.13.1"}}
    with pytest.warns(SettingsWarning, match=r"found with torch 1\.13"):
        advisor.load(file(tmp_path, {"compile": "default"}, found=found))


def test_the_torch_of_another_python_is_asked_for_there(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 1.12.0\n")
    python.chmod(0o755)
    document = configuration.read_document(file(tmp_path, {"compile": "default"}, found=found_here()))
    assert any("here 1.12" in line for line in configuration.no_longer_holds(document, python=str(python)))


def test_a_python_that_does_not_answer_is_not_compared(tmp_path: Path) -> None:
    document = configuration.read_document(file(tmp_path, {"compile": "default"}, found=found_here()))
    assert configuration.no_longer_holds(document, python=str(tmp_path / "missing")) == []


def test_the_facade_is_light() -> None:
    import subprocess

    code = "import sys, advisor; advisor.load, advisor.apply; print('torch' in sys.modules, 'yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize("name", sorted(sample_tuning.ALL))
def test_what_any_search_found_is_read_back(tmp_path: Path, name: str) -> None:
    found = sample_tuning.ALL[name]()
    path = tmp_path / "advisor.yaml"
    path.write_text(configuration.as_yaml(found))
    assert configuration.read_document(path).config == found.recommendation.config


def test_the_configuration_of_a_search_leaves_the_scripts_own_options_to_its_text() -> None:
    found = sample_tuning.faster()
    recommended = replace(found.recommendation, passed_as_arguments={"num_workers": {"--workers": 4}})
    config = Tuned(**{**vars(found), "recommendation": recommended}).config
    assert config.settings == config.document.config.as_dict() == {"precision": "bf16"}
    assert config.document.arguments == {"--workers": 4}


def test_how_the_script_trains_stands_in_the_file(tmp_path: Path) -> None:
    found = sample_tuning.faster()
    assert found.profile.workload is not None
    said = LoadedConfig(settings={}, text=configuration.as_yaml(found)).document.found["training"]
    assert (said["device"], said["batch_size"]) == (found.profile.workload.device, said["samples_per_update"])


def with_generators(held: tuple[str, ...]) -> Any:
    found = sample_tuning.faster()
    assert found.profile.workload is not None
    workload = replace(found.profile.workload, facts=replace(found.profile.workload.facts, dataset_generators=held))
    return replace(found, profile=replace(found.profile, workload=workload))


@pytest.mark.parametrize("held", [("Pictures.rng", "train.noise"), ()])
def test_what_the_dataset_draws_from_stands_in_the_file(held: tuple[str, ...]) -> None:
    text = configuration.as_yaml(with_generators(held))
    training = LoadedConfig(settings={}, text=text).document.found["training"]
    assert (training["generators"], type(training["workers"])) == (list(held), int)


def test_every_knob_says_in_plain_words_what_changes() -> None:
    silent = [knob.id for knob in knobs.all_knobs() if not knob.changes]
    assert silent == []


# --- advisor.apply, in processes of their own -------------------------------------------------------------------------

TRAIN = """
import sys
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info
APPLY

class Numbers(Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, index):
        info = get_worker_info()
        return torch.full((8,), float(index)) / 32, index % 4, -1 if info is None else info.id

def main():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True)
    for epoch in range(2):
        for batch, target, worker in loader:
            scores = model(batch)
            loss = torch.nn.functional.cross_entropy(scores, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(epoch, len(target), scores.dtype, loss.item(), sorted(set(worker.tolist())))

if __name__ == "__main__":
    main()
"""


def run(folder: Path, line: str, config: str) -> Any:
    """By `advisor run`."""
    (folder / "train.py").write_text(TRAIN.replace("APPLY", line))
    return forked.advisor(folder, "run", "--config", config, "train.py")


def trained(folder: Path, line: str, text: str = TRAIN) -> forked.Ended:
    """Without a launcher."""
    (folder / "train.py").write_text(text.replace("APPLY", line))
    return forked.run(folder, "train.py", limit_s=120)


IN_ONE_LINE = "import advisor; advisor.apply('advisor.yaml')"


@pytest.mark.slow
def test_one_line_does_what_advisor_run_does(tmp_path: Path) -> None:
    file(tmp_path, {"precision": "bf16", "num_workers": 2})
    applied = trained(tmp_path, IN_ONE_LINE)
    assert (applied.out, applied.err) == (run(tmp_path, "", "advisor.yaml").stdout, "")
    assert "bfloat16" in applied.out
    assert "[0]" in applied.out


@pytest.mark.slow
def test_one_line_without_settings_is_the_script_as_written(tmp_path: Path) -> None:
    file(tmp_path, {})
    assert trained(tmp_path, IN_ONE_LINE).out == trained(tmp_path, "").out != ""


@pytest.mark.slow
def test_the_same_settings_twice_are_applied_once(tmp_path: Path) -> None:
    file(tmp_path, {"precision": "bf16"})
    twice = trained(tmp_path, f"{IN_ONE_LINE}; advisor.apply('advisor.yaml')")
    assert (twice.code, twice.err) == (0, "")


def test_other_settings_in_the_same_process_are_refused(tmp_path: Path) -> None:
    file(tmp_path, {"precision": "bf16"})
    other = "from advisor.api import LoadedConfig; advisor.apply(LoadedConfig(settings={'num_workers': 1}))"
    done = trained(tmp_path, f"{IN_ONE_LINE}; {other}")
    assert done.code == 1
    assert "UsageError: settings have already been applied in this process" in done.err


@pytest.mark.slow
def test_under_advisor_run_the_settings_of_the_run_count(tmp_path: Path) -> None:
    file(tmp_path, {"precision": "bf16"})
    (tmp_path / "other.yaml").write_text("version: 1\nsettings: {num_workers: 1}\n")
    done = run(tmp_path, IN_ONE_LINE, "other.yaml")
    assert ("bfloat16" in done.stdout, "[0]" in done.stdout) == (False, True)
    assert done.stderr.count("not applied: advisor runs this script") == 1


def test_options_of_the_script_itself_are_told(tmp_path: Path) -> None:
    config = advisor.load(file(tmp_path, {}, arguments={"--batch-size": 64}))
    with pytest.warns(SettingsWarning, match="--batch-size: an option of the script: set it to 64"):
        config.apply()


def test_the_machine_is_looked_at_before_and_after_its_module_was_imported() -> None:
    import subprocess

    code = (
        "import advisor\n"
        "first = advisor.hardware(python='/nonexistent')\n"
        "import advisor.hardware\n"
        "second = advisor.hardware(python='/nonexistent')\n"
        "print(first.cpu == second.cpu, callable(advisor.hardware.probe))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True True\n"


def test_what_cannot_be_applied_in_one_line_is_told_and_kept(tmp_path: Path) -> None:
    import json
    import os

    file(tmp_path, {"num_workers": 1})
    holding = "data = Numbers(); data.file = open(__file__); loader = DataLoader(data,"
    done = trained(tmp_path, IN_ONE_LINE, TRAIN.replace("loader = DataLoader(Numbers(),", holding))
    assert done.code == 0
    assert "advisor: num_workers keeps the script's value" in done.err
    kept = Path(os.environ["XDG_STATE_HOME"]) / "advisor" / "settings-given-up.jsonl"
    assert json.loads(kept.read_text().splitlines()[-1])["setting"] == "num_workers"


@pytest.mark.parametrize(("text", "blocks"), [("settings: {}", False), ("settings: {num_workers: 2}", True)])
def test_a_file_without_any_setting_of_ours_is_no_loss(tmp_path: Path, text: str, blocks: bool) -> None:
    target = tmp_path / "advisor.yaml"
    target.write_text(f"version: 1\n{text}\n")
    with pytest.raises(UsageError, match="already exists") if blocks else contextlib.nullcontext():
        assert check_target(target, overwrite=False) == target


def test_the_commands_in_a_file_name_that_file(tmp_path: Path) -> None:
    text = "# found.\n#     advisor run --config advisor.yaml train.py\nversion: 1\nsettings: {}\n"
    saved = LoadedConfig(settings={}, text=text).save(tmp_path / "my threads.yaml")
    assert saved.read_text() == text.replace("advisor.yaml", "'my threads.yaml'")
