"""What GitHub runs: it parses, it is bounded, and it calls only what exists."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import book  # noqa: E402

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOADED = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
JOBS = [
    pytest.param(job, id=f"{name}-{key}")
    for name, workflow in LOADED.items()
    for key, job in workflow["jobs"].items()
]


def scripts():
    for workflow in LOADED.values():
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                if "run" in step:
                    yield step["run"]


@pytest.mark.parametrize("name", LOADED)
def test_a_workflow_says_when_and_with_which_rights(name):
    workflow = LOADED[name]
    assert workflow["name"] == name
    assert workflow[True], "YAML reads the key `on` as true"
    assert workflow["jobs"]
    rights = [workflow.get("permissions")]
    rights += [job.get("permissions") for job in workflow["jobs"].values()]
    assert any(rights) or "pull_request" in workflow[True]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_bounded_and_its_actions_have_versions(job):
    assert job["runs-on"]
    assert job.get("timeout-minutes", 0) <= 90
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w/-]+@v\d+", step["uses"])
    if any("run" in step for step in job["steps"]):
        assert "timeout-minutes" in job


@pytest.mark.parametrize("job", JOBS)
def test_a_step_is_named_before_it_is_asked(job):
    asked = set(re.findall(r"steps\.(\w+)\.", json.dumps(job)))
    assert asked <= {step.get("id") for step in job["steps"]}


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_scripts_are_good_shell():
    for script in scripts():
        plain = re.sub(r"\$\{\{.*?\}\}", "value", script)
        done = subprocess.run(
            ["bash", "-n", "-c", plain], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_what_is_called_is_there():
    called = "\n".join(scripts())
    targets = re.findall(r"\bmake ([a-z]+)\b", called)
    assert {"lock", "test", "html", "links"} <= set(targets)
    assert set(targets) <= set(book.COMMANDS)
    paths = re.findall(r"\b(?:tools|book|tests)/[\w/]+\.py|\.ci/\w+", called)
    assert "tools/wheels.py" in paths
    for path in paths:
        assert (ROOT / path).is_file(), path


def test_the_newest_versions_warn_and_do_not_block():
    job = LOADED["weekly"]["jobs"]["newest-versions"]
    commands = [s for s in job["steps"] if s.get("run") in ("make test", "make html")]
    assert len(commands) == 2
    assert all(step["continue-on-error"] for step in commands)
    assert "gh issue create" in job["steps"][-1]["run"]
    assert "pull_request" not in LOADED["weekly"][True]


def test_versions_agree():
    text = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.*)"$', text, flags=re.MULTILINE)[1]
    package = (ROOT / "code" / "advanced_keras" / "__init__.py").read_text()
    assert f'__version__ = "{version}"' in package
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.get("version", version) == version


@pytest.mark.skipif(not shutil.which("awk"), reason="no awk here")
def test_the_notes_of_a_release_are_its_part_of_the_changelog(tmp_path):
    step = next(s for s in scripts() if "CHANGELOG.md >" in s)
    program = re.search(r"'(/\^## /.*)' CHANGELOG", step)[1]
    log = "# Changelog\n\n## 0.2.0 (2031-01-01)\n\nnew\n\n## 0.1.0\n\nold\n"
    done = subprocess.run(
        ["awk", "-v", "version=0.2.0", program],
        input=log,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["new"]


def test_the_container_is_pinned_and_names_no_machine():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text()
    container = json.loads(text)
    tag = container["image"].rsplit(":", 1)[1]
    assert re.fullmatch(r"\d+(\.\d+)*-3\.1[123]-\w+", tag)
    assert "/home/" not in text and "/root" not in text and "/Users" not in text
    assert container["updateContentCommand"] == "make setup"
