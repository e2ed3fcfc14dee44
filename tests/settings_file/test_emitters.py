"""Every setting is either in the file or told with its reason, and what a file says is what was found."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from advisor import knobs
from advisor.errors import UsageError
from advisor.settings_file import exports, loaded
from advisor.settings_file.exports import Document
from advisor.types import Artifact, Config

from .documents import EVERYTHING, ON_CPU, document

TARGETS = ["accelerate", "advisor", "deepspeed", "lightning", "patch", "python", "slurm", "torchrun", "transformers"]


def made(target: str, settings: dict[str, Any], training: dict[str, Any] | None = None, **found: Any) -> Artifact:
    return exports.artifacts(document(settings, training, **found), [target])[0]


def names(told: Any) -> set[str]:
    return {item.what.partition("=")[0] for item in told}


def test_there_is_one_for_each_target() -> None:
    assert [emitter.id for emitter in exports.all_emitters()] == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_no_setting_is_unknown_to_it(target: str) -> None:
    assert not [item for item in made(target, EVERYTHING).not_expressed if "not known to" in item.why]


EXPRESSED = {
    "accelerate": {"compile", "precision"},
    "advisor": set(EVERYTHING),
    "patch": set(),
    "deepspeed": {"global_batch", "micro_batch", "precision"},
    "lightning": {
        "cudnn_benchmark",
        "global_batch",
        "micro_batch",
        "num_workers",
        "persistent_workers",
        "pin_memory",
        "precision",
        "prefetch_factor",
    },
    "python": set(EVERYTHING),
    "slurm": {"threads"},
    "torchrun": {"threads"},
    "transformers": {
        "activation_checkpointing",
        "compile",
        "fused_optimizer",
        "global_batch",
        "micro_batch",
        "num_workers",
        "persistent_workers",
        "pin_memory",
        "precision",
        "prefetch_factor",
    },
}


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_not_expressed_is_told_and_nothing_else(target: str) -> None:
    assert names(made(target, EVERYTHING).not_expressed) == set(EVERYTHING) - EXPRESSED[target]


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_not_expressed_says_why_and_what_to_do(target: str) -> None:
    assert all("; " in item.why for item in made(target, EVERYTHING).not_expressed)


def test_a_target_is_written_once_however_often_it_is_asked_for() -> None:
    assert len(exports.artifacts(document({}), ["torchrun", "torchrun"])) == 1


def test_an_unknown_target_is_told_before_anything_is_made() -> None:
    with pytest.raises(UsageError, match=f"expected one of {', '.join(TARGETS)}"):
        exports.artifacts(document({}), ["keras"])


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
VALUES = st.integers() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=40)


@examples(deadline=None)  # the first example loads all emitters
@given(settings=st.dictionaries(st.sampled_from(sorted(EVERYTHING)) | st.text(max_size=10), VALUES, max_size=6))
def test_settings_that_no_knob_can_have_are_refused_and_others_written(settings: Any) -> None:
    refused = knobs.refusal(settings) is not None
    try:
        files = exports.artifacts(Document(config=Config.of(settings)), TARGETS)
    except UsageError:
        files = []
    assert refused == (not files)


@pytest.mark.slow
@given(
    settings=st.sets(st.sampled_from(sorted(EVERYTHING))).map(lambda names: {name: EVERYTHING[name] for name in names}),
    training=st.dictionaries(
        st.sampled_from(["device", "optimizer", "batch_size", "samples_per_update", "processes"]), PLAIN
    ),
    command=PLAIN,
)
def test_no_document_makes_a_broken_file(settings: Any, training: Any, command: Any) -> None:
    odd = Document(config=Config.of(settings), found={"command": command, "training": training})
    files = {made.target: made.content for made in exports.artifacts(odd, TARGETS)}
    for target in ("deepspeed", "transformers"):
        assert isinstance(json.loads(files[target]), dict)
    for target in ("accelerate", "lightning"):
        assert isinstance(yaml.safe_load(files[target]), dict)
    compile(files["python"], "fast_settings.py", "exec")
    assert shlex.split(files["torchrun"].splitlines()[-1])[:2] == ["exec", "torchrun"]


# --- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["deepspeed", "lightning", "python", "transformers"])
def test_a_batch_that_the_file_does_not_say_is_to_be_filled_in(target: str) -> None:
    assert any("accumulation" in item.what for item in made(target, {"micro_batch": 16}, {}).to_fill)


def test_deepspeed_needs_a_batch_size_even_where_none_was_changed() -> None:
    assert names(made("deepspeed", {"precision": "bf16"}, {}).to_fill) == {"train_micro_batch_size_per_gpu"}


def test_deepspeed_is_given_the_batch_as_written_where_none_was_changed() -> None:
    content = json.loads(made("deepspeed", {}, {"batch_size": 8, "samples_per_update": 32, "processes": 2}).content)
    assert content == {"train_micro_batch_size_per_gpu": 8, "gradient_accumulation_steps": 2}


# --- draws of the dataset -------------------------------------------------------------------------------------------

HOLDS = {"workers": 0, "generators": ["Pictures.rng"]}


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in ("advisor", "python")])
def test_a_generator_that_workers_would_copy_is_told_with_what_to_do(target: str) -> None:
    (told,) = (item for item in made(target, {"num_workers": 2}, HOLDS).to_fill if item.what == "worker_init_fn")
    assert told.why.startswith("the dataset holds Pictures.rng: workers get copies that give the same numbers")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("settings", "training"),
    [
        ({"num_workers": 2}, {**HOLDS, "generators": []}),
        ({"num_workers": 4}, {**HOLDS, "workers": 2}),
        ({"num_workers": 1, "persistent_workers": True}, HOLDS),
        ({"precision": "bf16"}, HOLDS),
        ({"cache_dataset": True}, HOLDS),
    ],
    ids=["none is held", "as the script has it", "one stays", "no workers", "in the own process"],
)
def test_nothing_is_told_where_no_draw_is_repeated(
    target: str, settings: dict[str, Any], training: dict[str, Any]
) -> None:
    artifact = made(target, settings, training)
    assert ("worker_init_fn" in names(artifact.to_fill), "WorkerSeeds" in artifact.content) == (False, False)


@pytest.mark.parametrize("training", [{}, {"generators": "many", "workers": -1}], ids=["silent", "nonsense"])
def test_a_file_that_does_not_say_what_is_held_is_taken_to_hold_something(training: dict[str, Any]) -> None:
    (told,) = (item for item in made("lightning", {"num_workers": 2}, training).to_fill if "init_fn" in item.what)
    assert "if the dataset holds random generators" in told.why
    assert "WorkerSeeds" in made("python", {"num_workers": 2}, training).content


@pytest.mark.parametrize("generators", [[], ["Pictures.rng"]])
def test_a_module_limits_the_threads_of_workers_beside_their_seeds(generators: list[str]) -> None:
    training = {"workers": 0, "generators": generators}
    namespace: dict[str, Any] = {}
    exec(made("python", {"num_workers": 2, "worker_threads": 1}, training).content, namespace)
    init = namespace["LOADER"]["worker_init_fn"]
    assert (init.then if generators else init) is namespace["limit_threads"]


# --- deepspeed ------------------------------------------------------------------------------------------------------

DEEPSPEED_KEYS: dict[str, Any] = {
    "train_batch_size": int,
    "train_micro_batch_size_per_gpu": int,
    "gradient_accumulation_steps": int,
    "torch_autocast": {"enabled": bool, "dtype": str, "lower_precision_safe_modules": list},
}
"""Of https://www.deepspeed.ai/docs/config-json/, those that are written here. It is not installed: checked by this."""


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_deepspeed_is_written_in_its_documented_keys(precision: str) -> None:
    def fits(content: Any, schema: Any) -> bool:
        if isinstance(schema, dict):
            return all(key in schema and fits(value, schema[key]) for key, value in content.items())
        return type(content) is schema

    assert fits(json.loads(made("deepspeed", {**EVERYTHING, "precision": precision}).content), DEEPSPEED_KEYS)


def test_the_three_sizes_of_deepspeed_agree() -> None:
    training = {"batch_size": 32, "samples_per_update": 128, "processes": 2}
    content = json.loads(made("deepspeed", {"micro_batch": 16}, training).content)
    product = content["train_micro_batch_size_per_gpu"] * content["gradient_accumulation_steps"] * 2
    assert product == content["train_batch_size"] == 128


def test_deepspeed_casts_as_was_measured() -> None:
    content = json.loads(made("deepspeed", {"precision": "fp16"}).content)
    assert content["torch_autocast"] == {"enabled": True, "dtype": "float16"}


# --- torchrun -------------------------------------------------------------------------------------------------------


def torchrun(artifact: Artifact) -> Any:
    """What torchrun itself understands of the command."""
    from torch.distributed.run import get_args_parser

    words = shlex.split(artifact.content.splitlines()[-1])
    assert (words[:2], words[-1]) == (["exec", "torchrun"], "$@")
    return get_args_parser().parse_args(words[2:-1])


def test_torchrun_takes_the_command() -> None:
    understood = torchrun(made("torchrun", EVERYTHING))
    assert (understood.standalone, understood.nnodes, understood.nproc_per_node) == (True, "1", "1")
    assert (understood.training_script, understood.training_script_args) == ("train.py", ["--lr", "0.1"])


@pytest.mark.parametrize("target", ["advisor", "torchrun", "accelerate"])
def test_a_secret_that_version_0_2_wrote_into_the_command_is_to_be_filled_in(target: str, tmp_path: Path) -> None:
    command = shlex.join(["train.py", "--api-key", "abc", "--password=a b", "--lr", "1"])
    path = tmp_path / "advisor.yaml"
    path.write_text(f"version: 1\nsettings: {{threads: 2}}\nfound: {json.dumps({'command': command})}\n")
    artifact = exports.artifacts(loaded.read_document(path), [target])[0]
    said = artifact.content + artifact.usage
    assert ("--api-key '***' '--password=***' --lr 1" in said, "abc" in said, "a b" in said) == (True, False, False)
    assert [item.what for item in artifact.to_fill] == ["***"]


# --- slurm ----------------------------------------------------------------------------------------------------------

TOOLS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": "printf 'node7\\nnode8\\n'",
    "torchrun": 'printf \'%s|\' torchrun "$OMP_NUM_THREADS" "$@"',
    "advisor": "printf '%s|' advisor \"$@\"",
}
"""Programs of a cluster that say what they were started with."""


@pytest.fixture
def batch(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Starts a file as Slurm does."""
    for name, body in TOOLS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def run(artifact: Artifact, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / artifact.file_name).write_text(artifact.content)
        job = {"SLURM_JOB_ID": "20007", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[7-8]", **variables}
        return subprocess.run(
            ["bash", str(tmp_path / artifact.file_name), *words],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **job},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_slurm_starts_torchrun_on_all_nodes_with_the_settings(batch: Any) -> None:
    artifact = made(
        "slurm", {"threads": 2}, {**ON_CPU, "processes": 4, "device": "cuda"}, command="train.py --lr 'a b'"
    )
    done = batch(artifact, "--more", "c d")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("|")[:-1] == [
        "torchrun",
        "2",
        "--nnodes=2",
        "--nproc-per-node=4",
        "--rdzv-id=20007",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=node7:20007",
        "train.py",
        "--lr",
        "a b",
        "--more",
        "c d",
    ]
    assert "#SBATCH --gpus-per-node=4\n" in artifact.content


def test_an_array_runs_workers_and_its_file_holds_no_url(batch: Any) -> None:
    study = {"ADVISOR_STUDY": "my study", "ADVISOR_STORAGE": "postgresql://me:secret@host/db"}
    artifact = made("slurm", EVERYTHING, hardware={"usable_cpus": 8.0})
    done = batch(artifact, SLURM_ARRAY_TASK_ID="3", **study)
    words = done.stdout.split("|")[:-1]
    assert words == ["advisor", "worker", "--study", "my study", "--wait", "10m"]
    assert "#SBATCH --cpus-per-task=8\n" in artifact.content
    without = batch(artifact, SLURM_ARRAY_TASK_ID="3", ADVISOR_STUDY="x")
    assert (without.returncode, without.stdout) == (1, "")
    assert "ADVISOR_STORAGE: is not set: the URL of the database" in without.stderr


def test_directives_come_before_the_first_command_of_the_batch_script() -> None:
    lines = made("slurm", EVERYTHING, hardware={"usable_cpus": 8.0}).content.splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert len(directives) == 4
    assert max(directives) < first


@pytest.mark.parametrize("cpus", ["many", True, 0, 1e12, None])
def test_cpus_that_no_node_has_are_not_asked_for(cpus: Any) -> None:
    assert "cpus-per-task" not in made("slurm", {}, hardware={"usable_cpus": cpus}).content


def test_torchrun_takes_a_module() -> None:
    understood = torchrun(made("torchrun", {}, command="-m package.train --epochs 3"))
    assert (understood.module, understood.training_script) == (True, "package.train")


def test_torchrun_starts_as_many_processes_as_there_were() -> None:
    assert torchrun(made("torchrun", {}, {"processes": 4})).nproc_per_node == "4"


def test_the_scripts_own_options_stand_on_its_command_line() -> None:
    with_options = Document(config=Config(), arguments={"--batch-size": 64, "lr": 0.5}, found={"command": "train.py"})
    understood = torchrun(exports.artifacts(with_options, ["torchrun"])[0])
    assert understood.training_script_args == ["--batch-size", "64", "lr=0.5"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_scripts_own_options_are_in_the_command_or_told(target: str) -> None:
    with_options = Document(config=Config(), arguments={"--batch-size": 64}, found={"command": "train.py"})
    artifact = exports.artifacts(with_options, [target])[0]
    in_command = "train.py --batch-size 64" in artifact.usage or "train.py --batch-size 64" in artifact.content
    assert ("--batch-size" in names(artifact.to_fill)) is (target not in ("accelerate", "advisor", "slurm", "torchrun"))
    assert in_command or "--batch-size" in names(artifact.to_fill)


@pytest.mark.parametrize("command", ["train.py '$(touch owned)'", "train.py; touch owned", "'a\ntouch owned'"])
def test_nothing_of_a_command_is_run_by_the_shell(tmp_path: Path, command: str) -> None:
    script = tmp_path / "torchrun"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    text = made("torchrun", {"threads": 2}, command=command).content
    done = subprocess.run(
        ["/bin/sh"],
        input=text,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
        text=True,
        timeout=60,
        check=True,
    )
    assert done.returncode == 0
    assert not (tmp_path / "owned").exists()


def test_the_environment_of_torchrun_reaches_the_script(tmp_path: Path) -> None:
    script = tmp_path / "torchrun"
    script.write_text("#!/bin/sh\necho $OMP_NUM_THREADS $TORCH_ALLOW_TF32_CUBLAS_OVERRIDE\n")
    script.chmod(0o755)
    text = made("torchrun", {"threads": 3, "precision": "tf32"}).content
    done = subprocess.run(
        ["/bin/sh"],
        input=text,
        env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "3 1\n"


# --- plain torch ----------------------------------------------------------------------------------------------------

LOOP = """
import sys
sys.modules["advisor"] = None
import torch
from torch.utils.data import DataLoader, TensorDataset
import fast_settings as fast

torch.manual_seed(0)
seen = []

def criterion(scores, targets):
    seen.append((len(targets), scores.dtype))
    return torch.nn.functional.cross_entropy(scores, targets)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList(torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))

def main():
    device = "cpu"
    dataset = TensorDataset(torch.randn(32, 3, 8, 8), torch.randint(3, (32,)))
    loader = DataLoader(dataset)
    model = plain = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
EXAMPLE
    size, dtype = seen[-1]
    print(size, int(optimizer.state_dict()["state"][0]["step"]), dtype, torch.get_num_threads(),
          optimizer.param_groups[0]["fused"],
          plain.blocks[0].weight.is_contiguous(memory_format=torch.channels_last), torch.backends.cudnn.benchmark)

if __name__ == "__main__":
    main()
"""
"""Runs the example in the module's own docstring, with what it leaves to the script."""


def loop(folder: Path, settings: dict[str, Any], training: dict[str, Any] | None = None) -> list[str]:
    content = made("python", settings, training).content
    (folder / "fast_settings.py").write_text(content)
    example = (ast.get_docstring(ast.parse(content)) or "").partition("import fast_settings as fast\n")[2]
    (folder / "train.py").write_text(LOOP.replace("EXAMPLE", example.replace("lr=...", "lr=1e-2")))
    return ran(folder, "train.py").split()


def ran(folder: Path, script: str) -> str:
    done = forked.run(folder, script, limit_s=120, strict=True)
    assert done.code == 0, done.err
    return done.out


def says(folder: Path, code: str) -> str:
    (folder / "case.py").write_text(code)
    return ran(folder, "case.py")


@pytest.mark.slow
def test_the_module_trains_with_all_settings(tmp_path: Path) -> None:
    settings = {**EVERYTHING, "micro_batch": 8, "global_batch": 16}
    del settings["compile"]  # takes a C++ compiler and half a minute: see the next test
    assert loop(tmp_path, settings) == ["8", "2", "torch.bfloat16", "2", "True", "True", "True"]


def test_the_module_compiles_last() -> None:
    """What compiled code was made of cannot be changed any more."""
    content = made(
        "python", {name: EVERYTHING[name] for name in ("activation_checkpointing", "compile", "memory_format")}
    )
    lines = content.content.partition("def prepare(model):")[2].partition("return model")[0].strip().splitlines()
    assert sorted(line.strip() for line in lines[1:-1]) == [
        "checkpoint_blocks(model)",
        "model = model.to(memory_format=torch.channels_last)",
    ]
    assert lines[-1].strip() == "model = torch.compile(model, mode='default')"


def test_the_module_compiles() -> None:
    assert "torch.compile(model, mode='default')" in made("python", {"compile": "default"}).content


@pytest.mark.slow
def test_the_module_scales_the_loss_of_fp16(tmp_path: Path) -> None:
    settings = {"precision": "fp16", "micro_batch": 8, "global_batch": 8, "threads": 1}
    assert loop(tmp_path, settings)[:3] == ["8", "4", "torch.float16"]
    assert "SCALER = torch.amp.GradScaler('cpu')\n" in (tmp_path / "fast_settings.py").read_text()


def test_the_module_without_settings_holds_nothing() -> None:
    (docstring,) = ast.parse(made("python", {}, {}).content).body
    assert "There are none" in ast.unparse(docstring)


@pytest.mark.parametrize(
    ("settings", "defined"),
    [
        ({"num_workers": 1}, {"LOADER"}),
        ({"fused_optimizer": "fused"}, {"OPTIMIZER"}),
        ({"precision": "bf16"}, {"autocast"}),
        ({"precision": "fp16"}, {"autocast", "SCALER"}),
        ({"threads": 2}, {"set_up"}),
        ({"micro_batch": 16}, {"LOADER", "ACCUMULATE"}),
        ({"memory_format": "channels_last"}, {"prepare"}),
    ],
)
def test_the_module_defines_what_the_settings_change_and_nothing_else(settings: Any, defined: set[str]) -> None:
    names_of: dict[str, Any] = {}
    exec(compile(made("python", settings, {**ON_CPU, "generators": []}).content, "fast_settings.py", "exec"), names_of)
    assert {name for name in names_of if not name.startswith("__")} - {"torch"} == defined
    assert all(f"fast.{name}" in names_of["__doc__"] for name in defined)


def test_the_module_computes_blocks_again_in_the_backward(tmp_path: Path) -> None:
    (tmp_path / "fast_settings.py").write_text(made("python", {"activation_checkpointing": True}).content)
    code = (
        "import fast_settings as fast, torch\n"
        "calls = []\n"
        "class Block(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        calls.append(1)\n"
        "        return super().forward(x).tanh()\n"
        "model = fast.prepare(torch.nn.Sequential(Block(2, 2), Block(2, 2)))\n"
        "model(torch.ones(1, 2)).sum().backward()\n"
        "print(len(calls), *model.state_dict())\n"
    )
    assert says(tmp_path, code) == "4 0.weight 0.bias 1.weight 1.bias\n"


def test_the_module_chooses_how_products_are_computed(tmp_path: Path) -> None:
    (tmp_path / "fast_settings.py").write_text(made("python", {"precision": "tf32"}).content)
    code = "import fast_settings, torch; fast_settings.set_up(); print(torch.get_float32_matmul_precision())"
    assert says(tmp_path, code) == "high\n"


def test_what_the_module_keeps_is_not_what_the_loop_changes(tmp_path: Path) -> None:
    (tmp_path / "fast_settings.py").write_text(made("python", {"cache_dataset": True}).content)
    code = (
        "import fast_settings as fast\n"
        "reads = []\n"
        "class Data:\n"
        "    def __len__(self): return 3\n"
        "    def __getitem__(self, index): reads.append(index); return [index]\n"
        "kept = fast.keep(Data()); kept[1].append('changed')\n"
        "print(len(kept), kept[1], reads)\n"
    )
    assert says(tmp_path, code) == "3 [1] [1]\n"
