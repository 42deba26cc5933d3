"""All stages of the Stable Diffusion model in order, or those named: `python run.py [--quick] [STAGE ...]`. Finished stages are skipped;
delete a checkpoint to redo one."""

import importlib
import sys
import time

import settings
import trainer

TRAINED = ("clip", "vae", "unet", "adapter", "segmenter", "identity", "scorer", "flux", "flux_guidance", "flux_adapter")
STAGES = ("sprites", "vocabulary", "clip", "vae", "unet", "adapter", "segmenter", "identity", "evaluate", "package", "dataset", "scorer", "instruments")
FLUX = ("flux", "flux_guidance", "flux_adapter", "flux_package")  # by name only


def main() -> None:
    named = [a for a in sys.argv[1:] if a in STAGES + FLUX]
    for stage in named or STAGES:
        begin, module = time.time(), importlib.import_module(stage)
        trainer.launch(module.main) if stage in TRAINED else module.main()
        print(f"{stage}: {time.time() - begin:.0f} s", flush=True)
    print(f"everything is in {settings.BUILD}")


if __name__ == "__main__":
    main()
