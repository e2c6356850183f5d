"""Runs VideoMAE V2's own extract_tad_feature.py on this machine: videomae_peer.py REPOSITORY MODEL [its options …]

REPOSITORY is a clone of https://github.com/OpenGVLab/VideoMAEv2. Its script is run as it is, with these changes: without a GPU, `.cuda()`
does nothing; the model is made without timm's registry, whose current releases pass arguments that the script's model does not take; and
`init_scale` is 1, because the script's 0 makes every seeded class score zero. Prints a JSON line when the model is loaded.
"""

import json
import runpy
import sys

import torch


def main(repository: str, model: str, options: list[str]) -> None:
    sys.path.insert(0, repository)
    import timm.models

    import dataset.loader as loader
    from models import modeling_finetune

    timm.models.create_model = lambda name, **more: getattr(modeling_finetune, name)(**{**more, "init_scale": 1.0})
    if not torch.cuda.is_available():
        torch.nn.Module.cuda = torch.Tensor.cuda = lambda self, *_, **__: self
    get_video_loader = loader.get_video_loader
    first = True

    def announcing(*arguments, **more):
        load = get_video_loader(*arguments, **more)

        def loaded(path):
            nonlocal first
            if first:
                first = False
                print(json.dumps({"event": "begin"}), flush=True)
            return load(path)

        return loaded

    loader.get_video_loader = announcing
    sys.argv = ["extract_tad_feature.py", "--model", model, *options]
    runpy.run_path(f"{repository}/extract_tad_feature.py", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
