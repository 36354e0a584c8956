"""The two command lines, `featcache` and `adapters`: parse, call, print.

Heavy libraries are imported inside the commands, so that `--help` answers at once. Results go to standard error as
tables, or to standard output as one JSON object with `--json`.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

featcache = typer.Typer(
    name="featcache",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Run a frozen CLIP once over a data set and keep what it saw: image and class-text embeddings in Zarr shards.",
    epilog="Start with: featcache extract --model tiny --dataset digits",
)
adapters = typer.Typer(
    name="adapters",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Train lightweight heads on cached CLIP features in seconds, and score them honestly.",
    epilog="Start with: adapters fit clip --shots 4   (after `featcache extract --model tiny --dataset digits`)",
)

INTERRUPTED = 130


def _show_version(asked: bool) -> None:
    if asked:
        from featcache.version import package_version

        print(f"featcache {package_version()}")
        raise typer.Exit


@featcache.callback()
@adapters.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


Root = Annotated[
    str | None,
    typer.Option(
        help="Where caches and runs live: a folder, or for caches a URL such as s3://bucket/prefix. "
        "Default: $FEATCACHE_HOME, else ~/.cache/featcache.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
Device = Annotated[str, typer.Option(help="auto (CUDA, then MPS, then CPU), cpu, cuda, cuda:1, mps.")]
OneCache = Annotated[str | None, typer.Option(help="A cache's name, folder or URL. Default: the one finished last.")]
Prompts = Annotated[str | None, typer.Option(help="A prompt set of the cache. Default: its default one.")]
AllowFewer = Annotated[
    bool, typer.Option("--allow-fewer", help="Use a class that has fewer images than --shots as it is.")
]
Shots = Annotated[str, typer.Option(help="Numbers of labelled images a class.")]
Seeds = Annotated[str, typer.Option(help="Each is a draw of shots and the seed of the training.")]
CacheName = Annotated[str, typer.Argument(metavar="CACHE", help="A cache's name (see featcache list), folder or URL.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name (see adapters runs) or folder.")]


@featcache.command()
def extract(
    model: Annotated[
        str, typer.Option(help="open_clip's name (ViT-B/16), `tiny` (embedded), or a local open_clip model directory.")
    ],
    dataset: Annotated[
        str,
        typer.Option(
            help="A data set's name (featcache datasets), a folder of class folders (optionally under train/val/test), "
            "or a CSV with the columns path,label and optionally split."
        ),
    ],
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="A pretrained tag (featcache models MODEL), a checkpoint file, or `random` (only to measure speed). "
            "Default: openai.",
            show_default=False,
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where the images are: a folder or a zip. Default: downloaded, where possible."),
    ] = None,
    splits: Annotated[str | None, typer.Option(help="Only these splits, such as train,test.")] = None,
    split_file: Annotated[
        Path | None,
        typer.Option(help="CoOp's split_zhou_*.json. One that lies beside the images is found by itself."),
    ] = None,
    class_names: Annotated[
        Path | None, typer.Option(help="Class names to use: a text file, one a line, or JSON {folder: name}.")
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(help="A prompt set of the data set, or a file: one template a line, or JSON prompts per class."),
    ] = None,
    views: Annotated[int, typer.Option(min=0, help="Augmented views of each training image.")] = 0,
    precision: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"], typer.Option(help="Of the encoder; auto: fp16 on CUDA, else fp32.")
    ] = "auto",
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="Of the stored embeddings.")] = "float16",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images encoded together. Default: 32 on a CPU, 256 on a GPU.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes. Default: one fewer than there are cores.")
    ] = None,
    on_error: Annotated[
        Literal["fail", "skip"],
        typer.Option(help="What an unreadable image does: fail the run, or leave its row empty and list it."),
    ] = "fail",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many rows of each split, balanced.")] = None,
    seed: Annotated[int, typer.Option(help="Of --limit, of views, and of the split where the set has none.")] = 0,
    name: Annotated[str | None, typer.Option(help="The cache's name. Default: made from data set and model.")] = None,
    engine: Annotated[Literal["local"], typer.Option(help="What runs the shards: this machine.")] = "local",
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Encode a data set once; continue what was begun, or say that all is there already.

    Stop it at any moment: the same command continues, and ends with the same bits.
    """
    from featcache.commands.tables import extraction_table
    from featcache.extraction.extract import run_extraction
    from featcache.extraction.request import Request

    request = Request(
        model=model,
        dataset=dataset,
        pretrained=pretrained,
        data_root=data_root,
        splits=splits.split(",") if splits else None,
        split_file=split_file,
        class_names=class_names,
        templates=templates,
        views=views,
        precision=precision,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        on_error=on_error,
        limit=limit,
        seed=seed,
        device=device,
        root=root,
        name=name,
    )
    report = run_extraction(request, progress=True)
    _show(report.to_json(), extraction_table(report, root), json)


@featcache.command("list")
def list_caches(root: Root = None, json: Json = False) -> None:
    """List the caches, the most recent first."""
    from featcache.cache.catalogue import list_caches
    from featcache.commands.tables import cache_list_json, cache_list_table

    caches = list_caches(root)
    _show(cache_list_json(caches), cache_list_table(caches, root), json)


@featcache.command()
def info(cache: CacheName, root: Root = None, json: Json = False) -> None:
    """Show what a cache holds and what it was made from."""
    from featcache.cache.catalogue import locate
    from featcache.commands.tables import cache_info, cache_info_table

    found = cache_info(locate(cache, root))
    _show(found, cache_info_table(found), json)


@featcache.command()
def verify(
    cache: CacheName,
    sample: Annotated[int, typer.Option(min=0, help="Rows to encode again and compare; 0 needs no encoder.")] = 64,
    data_root: Annotated[Path | None, typer.Option(help="Where the images are now, if they moved.")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Remove what is damaged, and try unreadable images anew: the same extract command encodes them again.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Chooses the sample.")] = 0,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Prove that a cache is complete and undamaged, and that a sample of it encodes to the same again.

    Exit status 1 if anything is wrong.
    """
    from featcache.cache.catalogue import locate
    from featcache.commands.tables import verification_table
    from featcache.verification.verify import verify as run

    found = run(locate(cache, root), sample=sample, data_root=data_root, repair=repair, seed=seed, device=device)
    _show(found.to_json(), verification_table(found, cache), json)
    if found.problems or found.repaired:
        raise typer.Exit(1)


@featcache.command()
def text(
    cache: CacheName,
    templates: Annotated[
        str,
        typer.Option(
            help="A prompt set of the data set, or a file: one template a line ('a photo of a {}.'), a JSON list of "
            "templates, or CuPL's JSON {class: [prompts]}."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The set's name. Default: the file's.")] = None,
    class_names: Annotated[
        Path | None, typer.Option(help="Other words for the classes: a text file, one a line, or JSON {name: words}.")
    ] = None,
    default: Annotated[bool, typer.Option(help="Make it the set that heads use unless told otherwise.")] = True,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Add or replace a prompt set; only text is encoded."""
    from featcache.cache.catalogue import locate
    from featcache.commands.tables import prompt_sets_table
    from featcache.extraction.add_text import add_prompt_set

    result = add_prompt_set(
        locate(cache, root), templates, name=name, default=default, device=device, class_names=class_names
    )
    _show(result, prompt_sets_table(result), json)


@featcache.command()
def datasets(json: Json = False) -> None:
    """List the data sets that are known by name."""
    from featcache.commands.tables import dataset_list_json, dataset_list_table

    found = dataset_list_json()
    _show(found, dataset_list_table(found), json)


@featcache.command()
def models(
    model: Annotated[str | None, typer.Argument(help="A model, such as ViT-B/16; none: list them all.")] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="A pretrained tag. Default: openai.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the encoders, or tell about one; downloads no weights."""
    from featcache.commands.tables import model_json, model_list_table, model_table
    from featcache.encoders.models import describe, list_models

    if model:
        found = describe(model, pretrained)
        _show(model_json(found), model_table(found), json)
    else:
        known = list_models()
        _show({"models": [{"architecture": name, "tags": tags} for name, tags in known]}, model_list_table(known), json)


@adapters.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def fit(
    context: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="One of adapters list: clip, tip, tip-f, linear, …")],
    shots: Annotated[int, typer.Option(min=1, help="Labelled images a class.")],
    seed: Annotated[int, typer.Option(help="Of the few-shot draw and of the training.")] = 1,
    cache: OneCache = None,
    select: Annotated[
        Literal["none", "support", "val-kshot", "val", "oracle"] | None,
        typer.Option(
            help="What may choose hyper-parameters: none (fixed defaults), support (the shots themselves), val-kshot "
            "(min(K, 4) validation images a class), val (the validation split), oracle (the test split: dishonest). "
            "Default: support for tip, tip-f, tip-x, ape, taskres and reg-linear, unless what it would choose is "
            "given; else none.",
            show_default=False,
        ),
    ] = None,
    indices: Annotated[
        Path | None, typer.Option(help="A CoOp index file (shot_4-seed_1.json) that names the shots.")
    ] = None,
    allow_fewer: AllowFewer = False,
    prompts: Prompts = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also fit a temperature on what --select allows; accuracy stays.")
    ] = False,
    meta_train: Annotated[
        list[str] | None,
        typer.Option(help="Of meta: a cache to learn on before adapting to this one; may be given several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to save the head. Default: a folder under ROOT/runs.")] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit a head on K images a class and score it, with zero-shot beside it.

    Options of a method are given by their names, for example `--alpha 0.4 --epochs 50`;
    `adapters list METHOD` shows them with their defaults.
    """
    from adapters.commands.options import parse_options
    from adapters.commands.tables import report_table
    from adapters.fitting.fit import fit as run

    params = parse_options(method, context.args)
    report = run(
        method,
        cache=_open_cache(cache, root),
        shots=shots,
        seed=seed,
        select=select,
        params=params,
        indices=indices,
        allow_fewer=allow_fewer,
        prompts=prompts,
        calibrate=calibrate,
        meta_train=[_open_cache(name, root) for name in meta_train or []],
        out=out,
        root=root,
        device=device,
    )
    _show(report.to_json(), report_table(report), json)


@adapters.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def search(
    context: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="One of adapters list: clip, tip, tip-f, taskres, …")],
    shots: Shots = "1,2,4,8,16",
    seeds: Seeds = "1,2,3",
    cache: OneCache = None,
    select: Annotated[
        Literal["none", "support", "val-kshot", "val", "oracle"],
        typer.Option(
            help="What chooses: support (the shots themselves, held out in folds), val-kshot (min(K, 4) validation "
            "images a class), val (the validation split), oracle (the test split: dishonest)."
        ),
    ] = "support",
    halving: Annotated[
        bool,
        typer.Option("--halving", help="Give up all but the best third after a ninth and after a third of the steps."),
    ] = False,
    prompts: Prompts = None,
    allow_fewer: AllowFewer = False,
    out: Annotated[
        Path | None, typer.Option(help="Where results are kept. Default: a folder under ROOT/search.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw accuracy against alpha, or against another option where alpha does not vary, to this .svg or "
            ".png file. Default: in OUT, named after that option: alpha.svg, lr.svg, …"
        ),
    ] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Try every combination of a method's options for every number of shots and seed, as one program.

    Options of a method take several values, `--lr 1e-3,1e-2`, or ranges with both ends, `--alpha 0:1:0.05`;
    `adapters list METHOD` shows them. The whole grid is also kept as search.parquet and search.csv.
    """
    from adapters.commands.options import parse_grid
    from adapters.search import run

    results = run(
        method,
        parse_grid(method, context.args),
        cache=_open_cache(cache, root),
        shots=_numbers("--shots", shots),
        seeds=_numbers("--seeds", seeds),
        select=select,
        halving=halving,
        prompts=prompts,
        allow_fewer=allow_fewer,
        out=out,
        plot=plot,
        root=root,
        device=device,
        progress=True,
    )
    _show(results.to_json() if json else None, results.table(), json)
    print(f"search.parquet, .csv and .json are in {results.folder}; picture: {results.picture}", file=sys.stderr)
    if results.next_command:
        print(f"keep one: {results.next_command}", file=sys.stderr)


@adapters.command()
def bench(
    methods: Annotated[str, typer.Option(help="Methods, such as clip,tip,gda (see adapters list), or all.")] = "all",
    shots: Shots = "1,2,4,8,16",
    seeds: Seeds = "1,2,3",
    cache: Annotated[
        list[str] | None,
        typer.Option(
            help="A cache's name, folder or URL; may be given several times. Default: the one finished last. Under "
            "cross-dataset the first is fitted on, and the others are only tested on."
        ),
    ] = None,
    protocol: Annotated[
        Literal["few-shot", "base-to-new", "cross-dataset", "incremental"],
        typer.Option(help="All classes; CoOp's halves of the classes; other data sets; classes arriving in tasks."),
    ] = "few-shot",
    tasks: Annotated[int | None, typer.Option(min=2, help="Of the incremental protocol: number of tasks.")] = None,
    select: Annotated[
        Literal["none", "support", "val-kshot", "val", "oracle"],
        typer.Option(help="What may choose hyper-parameters, as in adapters fit."),
    ] = "none",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also fit temperatures on what --select allows.")
    ] = False,
    prompts: Prompts = None,
    allow_fewer: AllowFewer = False,
    out: Annotated[
        Path | None, typer.Option(help="Where results are kept and continued. Default: a folder under ROOT/bench.")
    ] = None,
    table: Annotated[
        Literal["table", "markdown", "csv", "latex", "json"],
        typer.Option("--format", help="How to show the table; all but `table` go to standard output."),
    ] = "table",
    plot: Annotated[Path | None, typer.Option(help="Draw accuracy against shots to this .svg or .png file.")] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit and score methods side by side over shots and seeds.

    Stop it at any moment: the same command continues, and finished cells are not run again. Results are also kept as
    results.csv, results.parquet and results.json.
    """
    from adapters.bench import run

    opened = [_open_cache(name, root) for name in cache] if cache else [_open_cache(None, root)]
    results = run(
        methods,
        caches=opened,
        shots=_numbers("--shots", shots),
        seeds=_numbers("--seeds", seeds),
        select=select,
        protocol=protocol,
        tasks=tasks,
        calibrate=calibrate,
        prompts=prompts,
        allow_fewer=allow_fewer,
        out=out,
        root=root,
        device=device,
        progress=True,
    )
    if plot:
        plot.parent.mkdir(parents=True, exist_ok=True)
        results.plot(plot)
    if table == "table" or json:
        _show(results.to_json() if json else None, results.table(), json)
    else:
        print(results.text(table), end="")
    kept = f"results.csv, .parquet and .json are in {results.folder}"
    print(f"{results.ran} cells computed, {results.found} found done; {kept}", file=sys.stderr)


@adapters.command("eval")
def evaluate(
    run: RunName,
    cache: Annotated[str | None, typer.Option(help="The cache it was fitted on, if that has moved.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a saved head again, class by class."""
    from adapters.commands.tables import evaluation_table
    from adapters.runs.evaluate import evaluate as score

    found = score(run, cache=_open_cache(cache, root) if cache else None, split=split, root=root, device=device)
    _show(found.to_json(), evaluation_table(found), json)


@adapters.command()
def predict(
    run: RunName,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER…", help="Image files, or folders of them.")],
    top_k: Annotated[int, typer.Option(min=1, help="Classes to show for an image.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Also write the predictions to this CSV file.")] = None,
    root: Root = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Classify new images with a saved head.

    Loads the very encoder that the head was trained on. Exit status 1 if an image could not be read.
    """
    from adapters.commands.tables import prediction_table
    from adapters.runs.predict import predict as classify
    from adapters.runs.predict import write_csv

    found = classify(run, images, top_k=top_k, root=root, device=device)
    if csv:
        with csv.open("w", newline="", encoding="utf-8") as stream:
            write_csv(found, stream)
    _show(found.to_json(), prediction_table(found), json)
    if found.failed:
        print(f"{found.failed} of {len(found.items)} files could not be read", file=sys.stderr)
        raise typer.Exit(1)


@adapters.command("list")
def list_methods(
    method: Annotated[str | None, typer.Argument(help="A method: show its options; none: list all methods.")] = None,
    json: Json = False,
) -> None:
    """List the methods, or the options of one."""
    from adapters.commands.options import describe_options
    from adapters.commands.tables import method_table, option_table
    from adapters.methods import describe_methods

    if method:
        options = describe_options(method)
        _show({"method": method, "options": options}, option_table(method, options), json)
    else:
        known = describe_methods()
        _show({"methods": known}, method_table(known), json)


@adapters.command()
def runs(root: Root = None, json: Json = False) -> None:
    """List the saved heads, newest first."""
    from adapters.commands.tables import run_list_json, run_list_table
    from adapters.runs.catalogue import list_runs

    saved = list_runs(root)
    _show(run_list_json(saved), run_list_table(saved, root), json)


def run_featcache() -> None:
    """Entry point of `featcache`."""
    _run(featcache)


def run_adapters() -> None:
    """Entry point of `adapters`."""
    _run(adapters)


def _run(app: typer.Typer) -> None:
    """Run a command line: a user's mistake is one line and status 2, an interruption one line and status 130."""
    from featcache.errors import FeatcacheError

    # Before torch is imported: idle threads must sleep, not spin on the cores that decoding needs. On two cores this
    # makes extraction three times as fast.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imports make objects by the hundred thousand that live to the end: to search them for garbage again and again, and
    # once more at the exit (below), would be a quarter of the time of a short command.
    gc.set_threshold(100_000)
    # What a cluster sends before it kills is an interruption, after which locks are given back.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        told = " ".join(str(getattr(error, "format_message", error.__str__)()).split()).rstrip(".")
        if not told:  # no command was given, and the help is printed
            sys.exit(2)
        words = [str(app.info.name), "" if told.startswith("No such command") else _command(), "--help"]
        _fail(f"{told}; type `{' '.join(filter(None, words))}` for what is expected")
    except FeatcacheError as error:
        _fail(str(error))
    except OSError as error:  # a file or folder given by the user that cannot be read or written
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}; give a path that can be read and written")
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:  # typer makes a return value of Ctrl-C
        goes_on = "; the same command continues where this one stopped" if _command() == "extract" else ""
        print(f"interrupted{goes_on}", file=sys.stderr)
    if "triton" not in sys.modules:  # comes with encoders; it counts what is left at the exit, and complains
        gc.freeze()
    sys.exit(status if isinstance(status, int) else 0)


def _command() -> str:
    """The command that was typed; empty if there was none."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _show(content: Any, table: Any, json: bool) -> None:
    """The JSON object on standard output, or the table on standard error."""
    if json:
        from json import dumps

        print(dumps(content, indent=1, ensure_ascii=False))
    else:
        from rich.console import Console

        # Without markup: file names, class names and prompts may hold brackets. In a log file tables have room.
        width = None if sys.stderr.isatty() else 120
        Console(stderr=True, markup=False, highlight=False, width=width).print(table)


def _numbers(option: str, text: str) -> list[int]:
    """The numbers of `1,4,16`."""
    from adapters.errors import AdapterError

    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise AdapterError(f"{option} {text}: expected whole numbers, such as {option} 1,4,16") from error


def _open_cache(cache: str | None, root: str | None) -> Any:
    import featcache

    if cache:
        return featcache.open(cache, root)
    opened = featcache.latest(root)
    print(f"Using the cache finished last: {opened.name}", file=sys.stderr)
    return opened
