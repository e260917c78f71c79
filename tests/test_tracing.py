"""Traces against tables that were written by hand from the source of each function."""

import functools
import json
import re
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from advanced_keras.attention import MultiHeadAttention
from advanced_keras.tracing import Trace, plot_model, trace, trace_model, trace_source


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session()  # so that Keras counts its layers from 0


def table(found):
    """What the reader sees: (line, variable, call, inputs) of every row."""
    shown = found.table()
    rows = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]
    keep = ("line", "variable", "call", "inputs")
    return [tuple(row.get(column, "") for column in keep) for row in rows]


def edges(found, target):
    """(argument, label of the tensor) of the call that made ``target``."""
    labels = {
        o.id: o.names[0].label if o.names else s.called
        for s in found.all_steps
        for o in s.outputs
    }
    return [(e.argument, labels[e.tensor]) for e in found.step(target).inputs]


# -- the shapes of graphs, each with the truth beside it


def chain():
    inputs = keras.Input((4,), name="inputs")
    hidden = layers.Dense(3, name="first")(inputs)
    outputs = layers.Dense(2, name="second")(hidden)
    return keras.Model(inputs, outputs)


def test_chain():
    assert table(trace(chain)) == [
        ("2", "inputs", "inputs (InputLayer)", ""),
        ("3", "hidden", "first (Dense)", "inputs ← inputs"),
        ("4", "outputs", "second (Dense)", "inputs ← hidden"),
    ]


def rebound():
    x = keras.Input((4,), name="start")
    x = layers.Dense(3, name="a")(x)
    x = layers.Dense(
        2,
        name="b",
    )(x)
    return keras.Model(x, x) if False else x


def test_rebound_name_and_statement_of_several_lines():
    assert table(trace(rebound)) == [
        ("2", "x₁", "start (InputLayer)", ""),
        ("3", "x₂", "a (Dense)", "inputs ← x₁"),
        ("4", "x₃", "b (Dense)", "inputs ← x₂"),
    ]


def shared():
    left = keras.Input((4,), name="left")
    right = keras.Input((4,), name="right")
    same = layers.Dense(3)
    a = same(left)
    b = same(right)
    return keras.Model([left, right], layers.Subtract(name="gap")([a, b]))


def test_shared_layer_is_two_calls():
    found = trace(shared)
    assert table(found) == [
        ("2", "left", "left (InputLayer)", ""),
        ("3", "right", "right (InputLayer)", ""),
        ("5", "a", "same (Dense), call 1 of 2", "inputs ← left"),
        ("6", "b", "same (Dense), call 2 of 2", "inputs ← right"),
        ("7", "", "gap (Subtract)", "inputs[0] ← a, inputs[1] ← b"),
    ]
    assert found.dot().count("same (Dense)") == 2
    # plot_model merges the two calls into one box: that is why ours is here
    drawn = keras.utils.model_to_dot(found.result, show_layer_names=True).to_string()
    assert drawn.count("(Dense)") == 1


def named():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    same = layers.Dense(3, name="same")
    gap = layers.Subtract(name="gap")([same(left), same(right)])
    return keras.Model([left, right], gap, name="named")


def widths(node):
    """How wide the white cells of a box of Keras's drawing are, and all of it."""
    spans = {"white": [], "black": [], "none": []}
    for fill, points in re.findall(r'<polygon fill="(\w+)".*? points="(.*?)"', node):
        across = [float(point.split(",")[0]) for point in points.split()]
        spans[fill] += [min(across), max(across)]
    return max(spans["white"]) - min(spans["white"]), np.ptp(spans["black"])


def test_the_drawing_of_keras_fits_the_page():
    """The same each time, the arrows in the colour of text, no gap in a box."""
    drawn, again = (plot_model(named(), "Two inputs and one layer") for _ in range(2))
    svg = drawn.svg
    assert svg == again.svg
    paper = float(re.search(rb"/MediaBox \[ *0 0 ([\d.]+)", drawn.pdf)[1])
    assert paper == pytest.approx(float(re.search(r'width="(\d+)pt"', svg)[1]), abs=1)
    nodes = re.findall(r'<g id="[^"]*" class="node">.*?</g>', svg, flags=re.DOTALL)
    assert len(nodes) == 4
    for node in nodes:
        cells, box = widths(node)
        assert 0.97 * box < cells <= box
    edges = re.findall(r'<g id="[^"]*" class="edge".*?</g>', svg, flags=re.DOTALL)
    assert all(edge.count('stroke="currentColor"') == 2 for edge in edges) and edges
    assert 'fill="white"' not in svg.split('class="node"')[0]


def self_attention():
    x = keras.Input((5, 8), name="x")
    y = layers.MultiHeadAttention(2, 4, name="att")(x, x)
    z = layers.MultiHeadAttention(2, 4, name="full")(query=y, key=x, value=y)
    return keras.Model(x, z)


def test_self_attention_keeps_query_key_and_value_apart():
    found = trace(self_attention)
    assert edges(found, "y") == [("query", "x"), ("value", "x"), ("key", "x")]
    assert [e.default for e in found.step("y").inputs] == [None, None, "value"]
    assert set(edges(found, "z")) == {("query", "y"), ("key", "x"), ("value", "y")}
    assert table(found)[1][3] == "query ← x, value ← x, key (= value) ← x"
    dot = found.dot()
    for label in (" query ", " value ", " key (= value) ", " key "):
        assert f'label="{label}"' in dot
    # plot_model: one arrow from x to the layer
    drawn = keras.utils.model_to_dot(found.result).to_string()
    assert drawn.count("->") == 3  # x -> att, x -> full, att -> full


def cross_attention():
    words = keras.Input((None, 8), name="words")
    memory = keras.Input((None, 8), name="memory")
    seen = layers.MultiHeadAttention(2, 4, name="cross")(words, memory)
    total = layers.Add(name="sum")([words, seen])
    return keras.Model([words, memory], total)


def test_cross_attention_and_residual():
    assert table(trace(cross_attention)) == [
        ("2", "words", "words (InputLayer)", ""),
        ("3", "memory", "memory (InputLayer)", ""),
        (
            "4",
            "seen",
            "cross (MultiHeadAttention)",
            "query ← words, value ← memory, key (= value) ← memory",
        ),
        ("5", "total", "sum (Add)", "inputs[0] ← words, inputs[1] ← seen"),
    ]


def two_by_two():
    a = keras.Input((2,), name="a")
    b = keras.Input((3,), name="b")
    both = layers.Concatenate(name="join")([a, b])
    price = layers.Dense(1, name="price")(both)
    label = layers.Dense(4, name="label")(both)
    model = keras.Model([a, b], [price, label], name="two")
    return model


def test_two_inputs_two_outputs():
    found = trace(two_by_two)
    assert [row[1] for row in table(found)] == ["a", "b", "both", "price", "label"]
    assert edges(found, "both") == [("inputs[0]", "a"), ("inputs[1]", "b")]
    assert found.models_table().rows == [("7", "model", "two", "a, b", "price, label")]
    assert [s.label for s in found.back("price").steps] == ["a", "b", "both", "price"]


def dict_inputs():
    inputs = {
        "eng": keras.Input((4,), name="eng"),
        "spa": keras.Input((4,), name="spa"),
    }
    total = layers.Add(name="sum")([inputs["eng"], inputs["spa"]])
    inner = keras.Model(inputs, {"total": total}, name="inner")
    u = keras.Input((4,), name="u")
    out = inner({"spa": u, "eng": layers.Dense(4, name="d")(u)})
    return keras.Model(u, out["total"])


def test_dict_inputs_in_and_out():
    found = trace(dict_inputs)
    assert table(found) == [
        ("2", "inputs['eng']", "eng (InputLayer)", ""),
        ("2", "inputs['spa']", "spa (InputLayer)", ""),
        (
            "6",
            "total",
            "sum (Add)",
            "inputs[0] ← inputs['eng'], inputs[1] ← inputs['spa']",
        ),
        ("8", "u", "u (InputLayer)", ""),
        ("9", "", "d (Dense)", "inputs ← u"),
        (
            "9",
            "out['total']",
            "inner (Functional)",
            "inputs['eng'] ← d, inputs['spa'] ← u",
        ),
    ]
    assert [row[2:] for row in found.bindings_table().rows] == [
        ("inputs['eng']", "d", "inputs['eng']", "eng"),
        ("inputs['spa']", "u", "inputs['spa']", "spa"),
    ]


class Three(NamedTuple):
    encoder: keras.Model
    decoder: keras.Model
    transformer: keras.Model


class Cross(layers.Layer):
    """Stands for the notes' TransformerDecoder: two tensor arguments."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 4)

    def build(self, inputs_shape, encoder_outputs_shape):
        self.attention.build(inputs_shape, encoder_outputs_shape)

    def call(self, inputs, encoder_outputs):
        return self.attention(inputs, encoder_outputs)


def notes():
    encoder_inputs = keras.Input(shape=(None,), dtype="int64", name="encoder_inputs")
    x = layers.Embedding(50, 8, name="embed_source")(encoder_inputs)
    encoder_outputs = layers.Dense(8, name="encode")(x)
    encoder = keras.Model(encoder_inputs, encoder_outputs)

    decoder_inputs = keras.Input(shape=(None,), dtype="int64", name="decoder_inputs")
    encoded_seq_inputs = keras.Input(shape=(None, 8), name="decoder_state_inputs")
    x = layers.Embedding(60, 8, name="embed_target")(decoder_inputs)
    x = Cross(name="decode")(x, encoded_seq_inputs)
    x = layers.Dropout(0.5, name="drop")(x)
    decoder_outputs = layers.Dense(60, name="head")(x)
    decoder = keras.Model([decoder_inputs, encoded_seq_inputs], decoder_outputs)

    decoder_outputs = decoder([decoder_inputs, encoder_outputs])
    transformer = keras.Model([encoder_inputs, decoder_inputs], decoder_outputs)
    return Three(encoder, decoder, transformer)


def test_the_three_models_of_the_notes():
    found = trace(notes)
    assert table(found) == [
        ("2", "encoder_inputs", "encoder_inputs (InputLayer)", ""),
        ("3", "x₁", "embed_source (Embedding)", "inputs ← encoder_inputs"),
        ("4", "encoder_outputs", "encode (Dense)", "inputs ← x₁"),
        ("7", "decoder_inputs", "decoder_inputs (InputLayer)", ""),
        ("8", "encoded_seq_inputs", "decoder_state_inputs (InputLayer)", ""),
        ("9", "x₂", "embed_target (Embedding)", "inputs ← decoder_inputs"),
        (
            "10",
            "x₃",
            "decode (Cross)",
            "inputs ← x₂, encoder_outputs ← encoded_seq_inputs",
        ),
        ("11", "x₄", "drop (Dropout)", "inputs ← x₃"),
        ("12", "decoder_outputs₁", "head (Dense)", "inputs ← x₄"),
        (
            "15",
            "decoder_outputs₂",
            "decoder (Functional)",
            "decoder_inputs ← decoder_inputs, encoded_seq_inputs ← encoder_outputs",
        ),
    ]
    assert found.bindings_table().rows == [
        (
            "15",
            "decoder (Functional)",
            "inputs[0]",
            "decoder_inputs",
            "decoder_inputs",
            "decoder_inputs",
        ),
        (
            "15",
            "decoder (Functional)",
            "inputs[1]",
            "encoder_outputs",
            "encoded_seq_inputs",
            "decoder_state_inputs",
        ),
    ]
    assert [row[1:2] + row[3:] for row in found.models_table().rows] == [
        ("encoder", "encoder_inputs", "encoder_outputs"),
        ("decoder", "decoder_inputs, encoded_seq_inputs", "decoder_outputs₁"),
        ("transformer", "encoder_inputs, decoder_inputs", "decoder_outputs₂"),
    ]


def test_walking_back_stays_outside_nested_models_unless_asked():
    found = trace(notes)
    assert [s.label for s in found.back("decoder_outputs").steps] == [
        "encoder_inputs",
        "x₁",
        "encoder_outputs",
        "decoder_inputs",
        "decoder_outputs₂",
    ]
    assert [s.label for s in found.back("decoder_outputs₁").steps] == [
        "decoder_inputs",
        "encoded_seq_inputs",
        "x₂",
        "x₃",
        "x₄",
        "decoder_outputs₁",
    ]
    through = found.back("decoder_outputs", through_models=True)
    assert len(through.steps) == len(found.steps)
    assert found.back(("x", 2)) == found.back("x₂")
    assert found.back(found.result.encoder.output) == found.back("encoder_outputs")
    assert [s.label for s in found.inside("decoder").steps] == [
        s.label for s in found.back("decoder_outputs₁").steps
    ]


def test_expanded_graph_binds_actual_to_formal():
    dot = trace(notes).dot(expand=True)
    assert re.search(
        r"s3 -> s5 \[.*binds", dot
    )  # encoder_outputs -> encoded_seq_inputs
    assert re.search(r"s9 -> s10 \[.*returns", dot)
    assert "binds" not in trace(notes).dot()


def outer_only():
    block = make_block()
    x = keras.Input((4,), name="x")
    y = block(x)
    y = block(y)
    return keras.Model(x, y)


def make_block():
    a = keras.Input((4,), name="a")
    return keras.Model(a, layers.Dense(4, name="inner_dense")(a), name="block")


def test_nested_model_from_elsewhere_called_twice():
    found = trace(outer_only)
    assert table(found) == [
        ("3", "x", "x (InputLayer)", ""),
        ("4", "y₁", "block (Functional), call 1 of 2", "a ← x"),
        ("5", "y₂", "block (Functional), call 2 of 2", "a ← y₁"),
    ]
    assert [s.called for s in found.inside("block").steps] == ["a", "inner_dense"]
    assert len(found.all_steps) == 5
    assert found.dot(expand=True).count("binds") == 2
    assert "inner_dense" in found.dot(expand=True)
    assert "inner_dense" not in found.dot()


def test_inputs_that_lead_nowhere():
    def build():
        a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
        inner = keras.Model([a, b], layers.Dense(2, name="d")(a), name="inner")
        return keras.Model([a, b], inner([b, a]))

    found = trace(build)
    assert [row[3:5] for row in found.bindings_table().rows] == [("b", "a"), ("a", "b")]
    assert [s.called for s in trace_model(found.result).steps] == ["a", "b", "inner"]
    alone = trace_model(found.inside("inner")._builder.models[0][1])
    assert [s.called for s in alone.steps] == ["a", "b", "d"]


# -- what the chapter says of keras.Model and of Sequential


def test_model_takes_tensors_not_layers():
    with pytest.raises(ValueError, match="must be KerasTensors"):
        keras.Model(layers.Dense(2), layers.Dense(2))


def test_model_refuses_a_missing_input_but_not_an_idle_one():
    a, b = keras.Input((3,)), keras.Input((3,))
    with pytest.raises(ValueError, match="not connected to `inputs`"):
        keras.Model(a, layers.Add()([a, b]))
    assert len(keras.Model([a, b], layers.Dense(2)(a)).inputs) == 2


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [keras.Input((4,)), layers.Add()],
        lambda: [keras.Input((4,)), layers.Dense(4), keras.Input((4,))],
        lambda: [
            keras.Input((4, 2)),
            layers.LSTM(3, return_state=True),
            layers.Dense(1),
        ],
    ],
)
def test_sequential_refuses_what_is_not_a_list(stack):
    with pytest.raises(ValueError):
        keras.Sequential(stack())


def test_swapped_actual_arguments_pass_keras_and_show_in_the_bindings():
    def build():
        price, amount = (
            keras.Input((5,), name="price"),
            keras.Input((5,), name="amount"),
        )
        inner = keras.Model([price, amount], price * (amount + 1.0))
        dollars, pieces = keras.Input((5,)), keras.Input((5,))
        value = inner([pieces, dollars])
        return keras.Model([dollars, pieces], value)

    rows = trace(build).bindings_table().rows
    assert [row[3:5] for row in rows] == [("pieces", "price"), ("dollars", "amount")]


def sequential():
    return keras.Sequential(
        [
            keras.Input((4,), name="in"),
            layers.Dense(3, name="a"),
            layers.Dense(2, name="b"),
        ]
    )


def test_sequential_itself():
    assert table(trace(sequential)) == [
        ("2", "", "in (InputLayer)", ""),
        ("2", "", "a (Dense)", "inputs ← in"),
        ("2", "", "b (Dense)", "inputs ← a"),
    ]


def nested_sequential():
    x = keras.Input((4,), name="x")
    mlp = keras.Sequential([layers.Dense(3, name="up"), layers.Dense(4, name="down")])
    y = mlp(x)
    y = y + x
    return keras.Model(x, y)


def test_nested_sequential():
    found = trace(nested_sequential)
    assert table(found) == [
        ("2", "x", "x (InputLayer)", ""),
        ("4", "y₁", "mlp (Sequential)", "input_layer ← x"),
        ("5", "y₂", "add", "x1 ← y₁, x2 ← x"),
    ]
    inner = [s.called for s in found.inside("mlp").steps]
    assert inner == ["input_layer", "up", "down"]


def operators():
    x = keras.Input((4, 4), name="x")
    y = ops.softmax(x @ ops.transpose(x, (0, 2, 1)) / 2.0)
    z = ops.concatenate([x, y], axis=-1)
    first = z[:, 0]
    w = 1.0 - first
    w += first
    return w


def test_keras_ops_and_operators():
    assert table(trace(operators)) == [
        ("2", "x", "x (InputLayer)", ""),
        ("3", "", "transpose", "x ← x"),
        ("3", "", "matmul", "x1 ← x, x2 ← transpose"),
        ("3", "", "true_divide", "x1 ← matmul"),
        ("3", "y", "softmax", "x ← true_divide"),
        ("4", "z", "concatenate", "xs[0] ← x, xs[1] ← y"),
        ("5", "first", "get_item", "x ← z"),
        ("6", "w₁", "subtract", "x2 ← first"),
        ("7", "w₂", "add", "x1 ← w₁, x2 ← first"),
    ]


def recurrent():
    x = keras.Input((5, 2), name="x")
    _, *state = layers.LSTM(3, return_state=True, name="enc")(x)
    y, (h, c) = layers.LSTM(3, name="dec")(x, initial_state=state), state
    return keras.Model(x, [y, h, c])


def test_several_tensors_from_a_call_and_unpacking():
    found = trace(recurrent)
    step = found.step("h")
    assert step.layer == "enc" and len(step.outputs) == 3
    assert [[n.label for n in o.names] for o in step.outputs] == [
        ["_"],
        ["state[0]", "h"],
        ["state[1]", "c"],
    ]
    assert edges(found, "y") == [
        ("sequences", "x"),
        ("initial_state[0]", "state[0]"),
        ("initial_state[1]", "state[1]"),
    ]
    assert ("4", "h", "= state[0]", "") in table(found)
    assert 'label=" h → initial_state[0] "' in found.dot()


def loop(depth):
    x = keras.Input((4,), name="x")
    layer = layers.Dense(4)
    for _ in range(depth):
        x = layer(x)
    return x


def test_layer_called_in_a_loop():
    found = trace(loop, 3)
    assert [row[:3] for row in table(found)] == [
        ("2", "x₁", "x (InputLayer)"),
        ("5", "x₂", "layer (Dense), call 1 of 3"),
        ("5", "x₃", "layer (Dense), call 2 of 3"),
        ("5", "x₄", "layer (Dense), call 3 of 3"),
    ]


def syntax(wide):
    a = keras.Input((4,), name="a"); b = layers.Dense(3, name="d")(a)  # fmt: skip # noqa: E702
    if (c := layers.Dense(3, name="e")(b)) is not None:
        c = layers.Add(name="s")([b, c])
    if wide:  # noqa: SIM108
        c = layers.Dense(9, name="wide")(c)
    else:
        c = layers.Dense(1, name="narrow")(c)
    both = [layers.Dense(2, name=f"head{i}")(c) for i in range(2)]
    out = both[1]
    return out


def test_walrus_semicolon_condition_comprehension_alias():
    assert table(trace(syntax, False)) == [
        ("2", "a", "a (InputLayer)", ""),
        ("2", "b", "d (Dense)", "inputs ← a"),
        ("3", "c₁", "e (Dense)", "inputs ← b"),
        ("4", "c₂", "s (Add)", "inputs[0] ← b, inputs[1] ← c₁"),
        ("8", "c₃", "narrow (Dense)", "inputs ← c₂"),
        ("9", "both[0]", "head0 (Dense)", "inputs ← c₃"),
        ("9", "both[1]", "head1 (Dense)", "inputs ← c₃"),
        ("10", "out", "= both[1]", ""),
    ]
    assert "wide (Dense)" in str(trace(syntax, True))


def unpacked():
    x = keras.Input((4,), name="x")
    same = layers.Dense(4)
    later, sooner = same(x), layers.Dense(4, name="d")(x)  # stored in reverse
    later, sooner = sooner, later
    x = same(x); x = same(x)  # fmt: skip # noqa: E702
    pair = [x, later]
    return pair


def test_names_of_one_statement_are_told_apart_and_come_in_its_order():
    assert table(trace(unpacked)) == [
        ("2", "x₁", "x (InputLayer)", ""),
        ("4", "later₁", "same (Dense), call 1 of 3", "inputs ← x₁"),
        ("4", "sooner₁", "d (Dense)", "inputs ← x₁"),
        ("5", "later₂", "= sooner₁", ""),
        ("5", "sooner₂", "= later₁", ""),
        ("6", "x₂", "same (Dense), call 2 of 3", "inputs ← x₁"),
        ("6", "x₃", "same (Dense), call 3 of 3", "inputs ← x₂"),
    ]  # and no row for `pair`, which gives no tensor a first name


def rescued():
    x = keras.Input((4,), name="x")
    try:
        y = layers.Dense(3, name="d")(x)
        y = layers.Reshape((7,), name="r")(y)
    except ValueError as error:
        y = layers.Dense(len(str(error)) and 7, name="e")(y)
    return y


def test_an_exception_that_the_function_handles():
    """Python's own instructions at the end of an ``except`` have no line."""
    assert table(trace(rescued)) == [
        ("2", "x", "x (InputLayer)", ""),
        ("4", "y₁", "d (Dense)", "inputs ← x"),
        ("7", "y₂", "e (Dense)", "inputs ← y₁"),
    ]


def models_of_nameless_calls():
    a = keras.Input((4,), name="a")
    inner = keras.Model(a, layers.Dense(4, name="deep")(a), name="inner")
    b = keras.Input((4,), name="b")
    outer = keras.Model(b, layers.Dense(4, name="top")(inner(inner(b))))
    c = keras.Input((4,), name="c")
    return keras.Model(c, outer(c))


def test_nameless_calls_inside_a_nested_model_are_the_functions_own():
    found = trace(models_of_nameless_calls)
    assert [row[:1] + row[2:] for row in table(found)] == [
        ("2", "a (InputLayer)", ""),
        ("3", "deep (Dense)", "inputs ← a"),
        ("4", "b (InputLayer)", ""),
        ("5", "inner (Functional), call 1 of 2", "a ← b"),
        ("5", "inner (Functional), call 2 of 2", "a ← inner call 1"),
        ("5", "top (Dense)", "inputs ← inner call 2"),
        ("6", "c (InputLayer)", ""),
        ("7", "outer (Functional)", "b ← c"),
    ]


def test_keyword_arguments_of_a_layer_and_a_key_copied_from_the_value():
    class Sum(layers.Layer):
        def call(self, first, *, scale=1.0, **others):
            return scale * (first + sum(others.values()))

    def build():
        x, z = keras.Input((4, 8), name="x"), keras.Input((4, 8), name="z")
        y = Sum(name="sum")(x, second=z, third=x, scale=2.0)
        w = layers.GroupQueryAttention(4, 2, 1, name="group")(y, z)
        own = MultiHeadAttention(2, name="own")(w)
        return keras.Model([x, z], own)

    assert [row[3] for row in table(trace(build))[2:]] == [
        "first ← x, second ← z, third ← x",
        "query ← y, value ← z, key (= value) ← z",
        "query ← w, value (= query) ← w, key (= value) ← w",
    ]


def test_a_dict_for_a_model_declared_on_a_list_is_matched_by_name():
    def build():
        a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
        inner = keras.Model([b, a], a - b, name="inner")
        x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
        return keras.Model([x, y], inner({"a": x, "b": y}))

    found = trace(build)
    rows = [row[2:] for row in found.bindings_table().rows]
    assert rows == [("inputs['a']", "x", "a", "a"), ("inputs['b']", "y", "b", "b")]
    assert np.all(found.result([np.ones((1, 4)), np.zeros((1, 4))]) == 1)  # x - y


def masked():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(9, 4, mask_zero=True, name="embed")(tokens)
    y = layers.LSTM(3, name="lstm")(x)
    return keras.Model(tokens, y)


def test_masks_are_recorded_and_shown_on_request():
    found = trace(masked)
    assert [row[1] for row in table(found)] == ["tokens", "x", "y"]
    masks = [(e.argument, e.mask) for e in found.step("y").inputs]
    assert masks == [("sequences", False), ("mask", True)]
    shown = found.styled(masks=True)
    assert table(shown)[-1][3] == "sequences ← x, mask ← not_equal"
    assert "not_equal" in shown.dot() and "not_equal" not in found.dot()


def test_a_mask_given_by_hand_is_an_argument_like_any_other():
    found = trace(by_hand)
    assert table(found)[-1][3] == "sequences ← x, mask ← keep"


def by_hand():
    x = keras.Input((5, 2), name="x")
    keep = keras.Input((5,), dtype="bool", name="keep")
    y = layers.LSTM(3, name="lstm")(x, mask=keep)
    return keras.Model([x, keep], y)


def test_class_and_cut_model():
    class Made(keras.Model):
        def __init__(self):
            inputs = keras.Input((4,), name="inputs")
            outputs = layers.Dense(2, name="d")(inputs)
            super().__init__(inputs, outputs)

    assert [row[:2] for row in table(trace(Made))] == [
        ("2", "inputs"),
        ("3", "outputs"),
    ]

    def cut():
        x = keras.Input((4,), name="x")
        middle = layers.Dense(3, name="first")(x)
        y = layers.Dense(2, name="second")(middle)
        return keras.Model(middle, y)  # Keras copies the part that it keeps

    found = trace(cut)
    assert [s.label for s in found.steps][:3] == ["x", "middle", "y"]
    assert found.models_table().rows[0][3:] == ("keras_tensor_1CLONE", "second call 2")


def test_a_layer_may_say_which_argument_it_fills_from_another():
    class Attend(layers.Layer):
        argument_defaults = {"value": "query", "key": "value"}  # noqa: RUF012

        def call(self, query, value=None, key=None):
            return query

    def build():
        x = keras.Input((4,), name="x")
        y = Attend(name="attend")(x)
        return y

    expected = "query ← x, value (= query) ← x, key (= value) ← x"
    assert table(trace(build))[-1][3] == expected


def test_closures_methods_partials_lambdas_and_decorators():
    outside = keras.Input((4,), name="outside")
    dense = layers.Dense(2, name="dense")

    def closure():
        y = dense(outside)
        return keras.Model(outside, y)

    class Maker:
        def build(self, units):
            self.x = keras.Input((4,), name="x")
            y = layers.Dense(units, name="d")(self.x)
            return keras.Model(self.x, y)

    def twice(function):
        @functools.wraps(function)
        def wrapper():
            return function()

        return wrapper

    assert table(trace(closure)) == [
        ("", "outside", "outside (InputLayer)", ""),
        ("2", "y", "dense (Dense)", "inputs ← outside"),
    ]
    method = [
        ("2", "self.x", "x (InputLayer)", ""),
        ("3", "y", "d (Dense)", "inputs ← self.x"),
    ]
    assert table(trace(Maker().build, 3)) == method
    assert table(trace(functools.partial(Maker().build, units=3))) == method
    assert table(trace(twice(chain))) == table(trace(chain))
    assert [s.called for s in trace(lambda: chain()).steps] == [
        "inputs",
        "first",
        "second",
    ]


def test_tensors_as_arguments():
    def head(features):
        scores = layers.Dense(2, name="d")(features)
        return scores

    assert table(trace(head, keras.Input((4,), name="given"))) == [
        ("1", "features", "given (InputLayer)", ""),
        ("2", "scores", "d (Dense)", "inputs ← features"),
    ]


def test_source_typed_into_a_cell():
    found = trace_source("a = keras.Input((3,), name='a')\nb = a * 2\n")
    assert table(found) == [
        ("1", "a", "a (InputLayer)", ""),
        ("2", "b", "multiply", "x1 ← a"),
    ]
    with pytest.raises(TypeError, match="source must be a str, got int"):
        trace_source(3)


def test_function_defined_in_a_notebook_cell():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    cell = (
        "import keras\nfrom advanced_keras.tracing import trace\n"
        "def build():\n    a = keras.Input((3,), name='a')\n"
        "    b = a * 2\n    return b\nfound = trace(build)\n"
    )
    assert shell.run_cell(cell).success
    assert [row[:2] for row in table(shell.user_ns["found"])] == [
        ("2", "a"),
        ("3", "b"),
    ]


def test_shapes_letters_and_colours():
    found = trace(notes).styled(
        axes={"E": 8, "V": 60},
        shapes={"encoder_inputs": "B S", "x₁": "B, S, E"},
        colors={"encoder_inputs": "#0072B2", "Dense": "#E69F00"},
    )
    shapes = {row[1]: row[2] for row in found.table().rows}
    assert shapes["encoder_inputs"] == "(B, S)" and shapes["x₁"] == "(B, S, E)"
    assert shapes["x₂"] == "(B, ·, E)" and shapes["decoder_outputs₂"] == "(B, ·, V)"
    assert re.search(r's1 \[.*color="#0072B2"', found.dot())
    assert re.search(r's3 \[.*color="#E69F00"', found.dot())
    with pytest.raises(ValueError, match="axes must give each size one letter"):
        found.styled(axes={"S": 20, "T": 20})


def test_shows_itself_in_html_on_paper_and_as_text():
    bundle = trace(self_attention)._repr_mimebundle_()
    assert set(bundle) == {"text/html", "application/pdf", "text/plain"}
    page = bundle["text/html"]
    assert "<svg" in page and "<table" in page and "key (= value)" in page
    assert bundle["text/plain"].splitlines()[0].split()[:2] == ["line", "variable"]


def test_ids_are_stable_and_in_the_picture():
    def plain(found):
        return re.sub(r"functional(_\d+)?", "functional", json.dumps(found.to_dict()))

    first = trace(notes)
    data = json.loads(json.dumps(first.to_dict()))
    assert [step["id"] for step in data["steps"]] == [f"s{i}" for i in range(1, 11)]
    assert plain(first) == plain(trace(notes))
    svg = first.graph().svg.replace("&#45;", "-")
    for step in first.steps:
        assert re.search(rf'id="trace-[0-9a-f]{{8}}-{step.id}" class="node step', svg)
        for number, _ in enumerate(step.inputs):
            assert re.search(rf'id="trace-[0-9a-f]{{8}}-{step.id}-in{number}"', svg)
    # a part of the trace keeps the ids but is another picture on the page
    part = first.back("x₁")
    assert part.steps == first.steps[:2]
    assert part.dot().split('id="')[1][:14] != first.dot().split('id="')[1][:14]


def test_loaded_model_has_calls_but_no_names(tmp_path):
    trace(two_by_two).result.save(tmp_path / "two.keras")
    found = trace_model(keras.saving.load_model(tmp_path / "two.keras"))
    assert found.table().columns == ["shape", "dtype", "call", "inputs"]
    assert [s.called for s in found.steps] == ["a", "b", "join", "price", "label"]
    assert found.back("price").steps[-1].called == "price"


# -- what goes wrong


def test_bad_builders():
    with pytest.raises(TypeError, match=r"builder must be callable.*got int"):
        trace(3)
    with pytest.raises(ValueError, match=r"builder must have source text.*built-in"):
        trace(len, [])
    with pytest.raises(ValueError, match="builder must create symbolic tensors"):
        trace(lambda: 3)
    names = {}
    exec("def build(): pass", names)
    with pytest.raises(ValueError, match=r"builder must have source text.*'build'"):
        trace(names["build"])
    with pytest.raises(TypeError, match=r"model must be a functional model.*got int"):
        trace_model(3)
    with pytest.raises(TypeError, match="got Sequential"):
        trace_model(keras.Sequential([layers.Dense(3)]))


def test_unknown_names():
    found = trace(chain)
    with pytest.raises(ValueError, match="one of: inputs, hidden, outputs; got 'x'"):
        found.back("x")
    with pytest.raises(ValueError, match="target must name a tensor"):
        found.back(keras.Input((3,)))
    with pytest.raises(ValueError, match="model must be a model of 'chain'"):
        found.inside("encoder")


def test_tracer_is_restored_also_after_an_error():
    def broken():
        x = keras.Input((4,))
        raise KeyError(x.name)

    def watch(frame, event, arg):
        return None

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        with pytest.raises(KeyError):
            trace(broken)
        assert sys.gettrace() is watch
        trace(chain)
        assert sys.gettrace() is watch
    finally:
        sys.settrace(before)


# -- random graphs: the generator knows the truth

CALLS = {
    "dense": ("layers.Dense(4)({0})", ["inputs"]),
    "shared": ("same({0})", ["inputs"]),
    "add": ("layers.Add()([{0}, {1}])", ["inputs[0]", "inputs[1]"]),
    "plus": ("{0} + {1}", ["x1", "x2"]),
    "attend": (
        "layers.MultiHeadAttention(1, 2)({0}, {1})",
        ["query", "value", "key"],
    ),
}


@st.composite
def programs(draw):
    """Lines of a program over a few names, and what each of its calls is given."""
    lines = ["same = layers.Dense(4)", "v0 = keras.Input((3, 4))"]
    holds, truth = {"v0": 0}, [[]]  # name -> number of the call; arguments of calls
    for _ in range(draw(st.integers(1, 8))):
        text, arguments = CALLS[draw(st.sampled_from(sorted(CALLS)))]
        given_names = [draw(st.sampled_from(sorted(holds))) for _ in range(2)]
        target = f"v{draw(st.integers(0, 3))}"
        lines.append(f"{target} = {text.format(*given_names)}")
        sources = [holds[n] for n in given_names]
        sources.append(sources[1])  # the key is the value
        truth.append(list(zip(arguments, sources, strict=False)))
        holds[target] = len(truth) - 1
    return "\n".join(lines), holds, truth


@settings(deadline=None, max_examples=25)
@given(programs())
def test_random_graphs(program):
    source, holds, truth = program
    found = trace_source(source, {"layers": layers})
    number = {step.id: i for i, step in enumerate(found.steps)}
    got = [[(e.argument, number[e.step]) for e in s.inputs] for s in found.steps]
    assert got == truth
    assert [step.line for step in found.steps] == list(range(2, len(truth) + 2))
    for name, call in holds.items():
        assert number[found.step(name).id] == call
        behind, todo = set(), [call]
        while todo:
            behind.add(current := todo.pop())
            todo += [source for _, source in truth[current]]
        assert {number[s.id] for s in found.back(name).steps} == behind


def test_it_is_a_trace():
    assert isinstance(trace(chain), Trace)


# -- models that are no chain of assignments


def build_sequential():
    model = keras.Sequential(name="grown")
    model.add(keras.Input((4,)))
    if True:
        model.add(layers.Dense(3, name="first"))
    for width in (2, 1):
        model.add(layers.Dense(width))
    return model


def build_with_sequential():
    body = keras.Sequential([layers.Dense(3), layers.Dense(2)], name="body")
    x = keras.Input((4,), name="x")
    y = body(x)
    return body, keras.Model(x, y)


def test_a_sequential_is_read_where_its_layers_are_added():
    found = trace(build_sequential)
    assert [step.line for step in found.steps] == [3, 5, 7, 7]
    assert [step.shape[-1] for step in found.steps] == [4, 3, 2, 1]
    assert all(step.calls == 1 for step in found.steps)


def test_a_sequential_that_is_called_is_a_nested_model():
    found = trace(build_with_sequential)
    assert [step.label for step in found.steps] == ["x", "y"]
    assert len(found.all_steps) == 5


class OwnCall(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("builder", "why"),
    [
        (OwnCall, "the call of its OwnCall is ordinary Python"),
        (lambda: OwnCall(), "the call of its OwnCall is ordinary Python"),
        (lambda: keras.Sequential([layers.Dense(1)]), "Sequential isn't built yet"),
    ],
)
def test_a_model_without_a_graph_is_refused_with_the_reason(builder, why):
    with pytest.raises(ValueError, match=f"got none from .*: .*{why}"):
        trace(builder)


@pytest.mark.parametrize("made", [build_sequential, OwnCall, lambda: layers.Dense(1)])
def test_a_finished_model_is_no_builder(made):
    with pytest.raises(TypeError, match=r"built already: read it with trace_model"):
        trace(made())
