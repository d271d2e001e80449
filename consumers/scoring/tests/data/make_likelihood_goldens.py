#!/usr/bin/env python3
"""lm-evaluation-harness's results on likelihood_task.jsonl, for the comparison in scoring_models_test.cpp.

    pip install lm_eval==0.4.13 safetensors numpy
    make_likelihood_goldens.py PROGRAM MODEL CONTEXT likelihood_task.jsonl > goldens.json

The model is a class of the harness: token ids come from `inference tokenize`, logits of every position from `inference
logits`, and everything else (pairs of context and continuation, windows, softmax, metrics) is the harness's or numpy's.
So neither the program's log-likelihoods nor its requests take part. Run by hand; not in CI.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from lm_eval import simple_evaluate, utils
from lm_eval.api.model import TemplateLM
from safetensors.numpy import load_file

PROGRAM, MODEL, CONTEXT, TASK = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]


def program(*arguments, lines):
    out = subprocess.run([PROGRAM, *arguments], input="".join(json.dumps(x) + "\n" for x in lines), text=True,
                         capture_output=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def encode(text, special):
    return program("tokenize", MODEL, *(["--special"] if special else []), lines=[text])[0]["ids"]


class Engine(TemplateLM):
    """Log-softmax in double precision over the program's logits."""

    @property
    def eot_token_id(self):
        return self.prefix_token_id

    @property
    def prefix_token_id(self):
        """As lm_eval/models/huggingface.py has it: the beginning's token, whether or not the tokenizer puts it in front
        of a text by itself; without one the end's."""
        metadata = json.loads(subprocess.run([PROGRAM, "inspect", MODEL, "--json"], text=True, capture_output=True,
                                             check=True).stdout)["metadata"]
        bos = metadata.get("tokenizer.ggml.bos_token_id")
        return bos if bos is not None else metadata["tokenizer.ggml.eos_token_id"]

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
        return encode(string, add_special_tokens is not False)

    def _loglikelihood_tokens(self, requests, disable_tqdm=False, **kwargs):
        out = []
        for begin in range(0, len(requests), 8):
            part = requests[begin:begin + 8]
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "logits.safetensors")
                program("logits", MODEL, "--out", path, lines=[{"ids": (c + t)[:-1]} for _, c, t in part])
                logits = load_file(path)
            for i, (_, context, target) in enumerate(part):
                rows = logits[f"logits_{i}"].astype(np.float64)[len(context) - 1:]
                logprobs = rows - np.log(np.exp(rows - rows.max(-1, keepdims=True)).sum(-1, keepdims=True)) \
                    - rows.max(-1, keepdims=True)
                chosen = logprobs[np.arange(len(target)), target]
                out.append((float(chosen.sum()), bool((logprobs.argmax(-1) == target).all())))
        return out

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        out = []
        for request in requests:
            (text,) = request.args
            windows = [utils.make_disjoint_window(w) for w in utils.get_rolling_token_windows(
                token_list=encode(text, False), prefix_token=self.prefix_token_id, max_seq_len=CONTEXT - 1, context_len=1)]
            out.append(sum(x for x, _ in self._loglikelihood_tokens([(None, c, t) for c, t in windows])))
        return out

    def generate_until(self, requests, disable_tqdm=False):
        raise NotImplementedError


def task(name, path, **more):
    return {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": path}}, "test_split": "test", **more}


def metric(name, aggregation="mean", better=True):
    return {"metric": name, "aggregation": aggregation, "higher_is_better": better}


def main():
    items = [json.loads(line) for line in open(TASK, encoding="utf-8")]
    for item in items:
        if "choices" in item:
            a = item["correct_answer"]
            item["label"] = item["choices"].index(a) if a in item["choices"] else ord(a) - ord("A")
    with tempfile.TemporaryDirectory() as folder:
        def write(name, rows):
            path = os.path.join(folder, name + ".jsonl")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
            return path
        tasks = [
            task("choice", write("choice", [x for x in items if "choices" in x]), output_type="multiple_choice",
                 doc_to_text="{{prompt}}", doc_to_choice="choices", doc_to_target="label",
                 metric_list=[metric("acc"), metric("acc_norm"), metric("acc_bytes")]),
            task("cloze", write("cloze", [x for x in items if x.get("domain") == "cloze"]), output_type="loglikelihood",
                 doc_to_text="{{prompt}}", doc_to_target="{{' ' + correct_answer}}",
                 metric_list=[metric("acc"), metric("perplexity", "perplexity", False)]),
            task("text", write("text", [x for x in items if x.get("domain") == "perplexity"]),
                 output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{prompt}}",
                 metric_list=[metric("word_perplexity", "weighted_perplexity", False),
                              metric("byte_perplexity", "weighted_perplexity", False),
                              metric("bits_per_byte", "bits_per_byte", False)]),
        ]
        results = simple_evaluate(model=Engine(), tasks=tasks, bootstrap_iters=0, log_samples=True)
    values = {name: {k.split(",")[0]: v for k, v in r.items() if isinstance(v, (int, float)) and "stderr" not in k}
              for name, r in results["results"].items()}
    samples = {s["doc"]["id"]: [float(r[0]) if isinstance(r, (list, tuple)) else float(r) for r in s["filtered_resps"]]
               for rows in results["samples"].values() for s in rows}
    prefix = Engine().prefix_token_id
    spelling = program("tokenize", MODEL, "--decode", lines=[{"ids": [prefix]}])[0]["text"]
    print(json.dumps({"model": os.path.basename(MODEL), "context": CONTEXT, "lm_eval": "0.4.13",
                      "prefix_token": spelling, "results": values,
                      "logprobs": samples}, indent=1))


if __name__ == "__main__":
    main()
