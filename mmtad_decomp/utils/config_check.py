"""Finding mistakes in a config before anything is built, and before torch is imported.

Tools load this module without the package, so it imports nothing heavy: names of types and of
their arguments come from the sources.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

from mmtad_decomp.utils.source_index import source_index
from mmtad_decomp.utils.value_check import fits

# Keys that other parts of MMEngine read than the Runner's constructor, and their types.
_READ_ELSEWHERE = dict(
    activation_checkpointing='list[str]',
    auto_scale_lr='dict',
    compile='bool | dict',
    custom_imports='dict',
    efficient_conv_bn_eval='list[str] | str',
    find_unused_parameters='bool',
    model_wrapper_cfg='dict',
    runner_type='str',
    sync_bn='str',
)
# Dicts without a `type` that MMEngine reads, those around others first, and their keys' types.
_SETTINGS = {
    'randomness': dict(seed='int', diff_rank_seed='bool', deterministic='bool'),
    'env_cfg': dict(cudnn_benchmark='bool', mp_cfg='dict', dist_cfg='dict', resource_limit='int'),
    'env_cfg.mp_cfg': dict(
        mp_start_method="Literal['fork', 'spawn', 'forkserver']", opencv_num_threads='int'
    ),
    'env_cfg.dist_cfg': dict(backend='str', timeout='float', init_backend='str', port='int'),
    'auto_scale_lr': dict(enable='bool', base_batch_size='int'),
    'compile': dict(
        fullgraph='bool',
        dynamic='bool',
        backend='str | Callable',
        mode='str',
        options='dict',
        disable='bool',
    ),
}
_OPEN_ENDED = ('env_cfg.dist_cfg', 'compile')  # PyTorch takes the rest of them
# What builders take out of a dict before the class named in it is called.
_TAKEN_BY_BUILDERS = (
    'type',
    '_scope_',
    'constructor',
    'convert_to_iter_based',
    'paramwise_cfg',
    'priority',
)


class ConfigError(ValueError):
    """A config is wrong; the message names file, key and fix."""


def runner_keys() -> set[str]:
    """Top-level keys that MMEngine's Runner reads."""
    (runner,) = source_index().arguments('Runner')
    return (runner.names - {'cfg'}) | set(_READ_ELSEWHERE)


def check_config(cfg: Config) -> None:
    """Find misspelt keys and missing parts.

    A config may hold variables of its own (``num_classes``), which the Runner ignores; so a
    top-level key is taken for a mistake if it is nearly the name of one that the Runner reads.
    Below, every ``type`` must be known, and its dict is compared with the constructor.

    Raises:
        ConfigError: If a key is misspelt, the model is missing, a type is unknown, or a value is
            of another type than its constructor's annotation, or a wrong number of a data loader.
    """
    known = runner_keys()
    name = cfg.filename or 'config'
    for key in cfg:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.85)
        if close and key not in known:
            raise ConfigError(f'{name}: unknown key `{key}`; did you mean `{close[0]}`?')
    if 'model' not in cfg:
        raise ConfigError(f'{name}: key `model` is missing; is this a base config?')
    (runner,) = source_index().arguments('Runner')
    _check_values(name, 'Runner', '', cfg, _parsed(_READ_ELSEWHERE) | runner.hints)
    for path, hints in _SETTINGS.items():
        _check_settings(name, path, cfg, _parsed(hints))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        _check_loader(name, loader, cfg.get(loader))
    typed = [
        (path, node) for key in cfg if key in known for path, node in typed_dicts(key, cfg[key])
    ]
    if _imports_known_packages(cfg):
        for _, node in typed:
            _check_type(cfg, node['type'])
    inherited = _inherited_words(cfg)
    for path, node in typed:
        _check_arguments(name, path, node, inherited)


def _inherited_words(cfg: Config) -> set[str]:
    """Words of the base configs that the config's own file does not have."""
    file = Path(cfg.filename or '')
    if not file.is_file():
        return set()
    own = file.read_text(encoding='utf-8')
    return set(re.findall(r'\w+', cfg.text)) - set(re.findall(r'\w+', own))


def check_device(cfg: Config) -> None:
    """Refuse ``device`` where it is not the one that is used; this imports torch.

    Raises:
        ConfigError: If the config asks for a device that is not there.
    """
    if cfg.get('device') is None:
        return
    from mmengine.device import get_device

    if cfg.device != get_device():
        raise ConfigError(
            f'{cfg.filename or "config"}: `device` is {cfg.device!r}, but this machine offers '
            f'{get_device()!r} to PyTorch; remove the key, or install a PyTorch that finds the '
            'device'
        )


def check_class_count(place: str, num_classes: int, classes: Sequence[str]) -> None:
    """Check that a head has a class for every one of the data set, or one for all.

    Raises:
        ConfigError: If it has another number.
    """
    if num_classes not in (1, len(classes)):
        shown = ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')
        raise ConfigError(
            f'{place} is {num_classes}, but the data set has {len(classes)} classes: {shown}; set '
            f'it to {len(classes)}, or to 1 for a class-agnostic head, or correct '
            '`metainfo.classes` and `ignore_labels`'
        )


def _parsed(hints: dict[str, str]) -> dict[str, ast.expr | None]:
    return {name: ast.parse(hint, mode='eval').body for name, hint in hints.items()}


def _check_values(
    file: str, owner: str, path: str, node: dict, hints: dict[str, ast.expr | None]
) -> None:
    """Compare values with the annotations of the arguments that they are for."""
    for key, value in node.items():
        hint = hints.get(key)
        if hint is None or fits(value, hint):
            continue
        place = f'{path}.{key}' if path else key
        for step, item, alone in _items(value):  # name the one that does not fit
            if fits(type(alone)(), hint) and not fits(alone, hint):
                place, value = place + step, item
                break
        wanted = ast.unparse(source_index().alias(ast.unparse(hint)) or hint)
        advice = ''
        if 'dict(' in str(value):
            advice = '; a command line has no dicts: set the keys below it, or edit the config'
        raise ConfigError(f'{file}: `{place}` is {value!r}, but {owner} takes {wanted}{advice}')


def _items(value: object) -> list[tuple[str, object, object]]:
    """How the place of each item continues, the item, and a container of the item alone."""
    if isinstance(value, dict):
        return [(f'.{key}', item, {key: item}) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f'[{index}]', item, [item]) for index, item in enumerate(value)]
    return []


def _check_settings(file: str, path: str, cfg: Config, hints: dict[str, ast.expr | None]) -> None:
    """Check keys and values of a dict without a ``type``, where the config has it."""
    first, *rest = path.split('.')
    node = cfg.get(first)
    for key in rest:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, dict):
        _check_keys(file, path, node, 'Runner', set(hints), path in _OPEN_ENDED)
        _check_values(file, 'Runner', path, node, hints)


def _check_loader(file: str, path: str, loader: object) -> None:
    """Check the numbers of a data loader, which torch refuses late and without their key."""
    if not isinstance(loader, dict):
        return
    for key, least in (('batch_size', 1), ('num_workers', 0)):
        value = loader.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                f'{file}: `{path}.{key}` is {value!r}; set a whole number of at least {least}'
            )
    for key in ('dataset', 'sampler'):
        if not isinstance(loader.get(key, {}), dict):
            raise ConfigError(
                f'{file}: `{path}.{key}` is {loader[key]!r}; set a dict with a `type`, or keys '
                'below it'
            )


def accepted_arguments(target: Callable) -> tuple[set[str], bool]:
    """Names of the arguments that a class or function takes.

    Returns:
        The names, and whether it may take others too. A class that hands ``**kwargs`` on to its
        base is taken to accept the base's arguments.
    """
    if not inspect.isclass(target):
        parameters = inspect.signature(target).parameters.values()
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return {p.name for p in parameters}, open_ended
    names: set[str] = set()
    open_ended = False
    for base in target.__mro__:
        init = base.__dict__.get('__init__')
        if init is None or base is object:
            continue
        parameters = inspect.signature(init).parameters.values()
        names |= {
            p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
        open_ended = True
    return names - {'self'}, open_ended


def class_name(kind: object) -> str | None:
    """Name of the class of a ``type``.

    Args:
        kind: The class, as in MMEngine's configs in plain Python, its name, one with a scope
            (``mmaction.TADDetector``) or a module before it, or None.
    """
    if isinstance(kind, str):
        return kind.rpartition('.')[2]
    return getattr(kind, '__name__', None)


def of_class(stated: dict | Sequence[dict] | None, name: str) -> list[dict]:
    """Settings whose ``type`` is a class of a name.

    Args:
        stated: A part of a config that holds one dict, several or none, such as
            ``test_evaluator``.
        name: See :func:`class_name`.
    """
    parts = [stated] if isinstance(stated, dict) else stated or ()
    return [part for part in parts if class_name(part.get('type')) == name]


def typed_dicts(path: str, node: object, below_cfg: bool = False) -> Iterator[tuple[str, dict]]:
    """Dicts with a ``type`` and their paths; builders' ``norm_cfg`` and the like on demand."""
    if isinstance(node, dict):
        if 'type' in node:
            yield path, node
        for key, value in node.items():
            if below_cfg or not str(key).endswith('_cfg'):
                yield from typed_dicts(f'{path}.{key}', value, below_cfg)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from typed_dicts(f'{path}[{index}]', value, below_cfg)


def _registered(kind: object) -> list[Callable]:
    """Every class or function of that name in the registries, as far as these are loaded."""
    if not isinstance(kind, str):
        return [kind] if callable(kind) else []
    found = (root.module_dict.get(kind) for root in _registries())
    return [target for target in found if target is not None]


def _registered_below(name: str) -> list[type]:
    """Registered classes of that name, and those with a base of it, which complains for them."""
    classes = (kind for root in _registries() for kind in root.module_dict.values())
    return [
        kind
        for kind in classes
        if inspect.isclass(kind) and any(base.__name__ == name for base in kind.__mro__)
    ]


def _registries() -> list:
    """Registries of the modules that are imported."""
    modules = (sys.modules.get(name) for name in ('mmengine.registry', 'mmaction.registry'))
    roots = {name: value for module in modules if module for name, value in vars(module).items()}
    named = [root for root in roots.values() if hasattr(root, 'module_dict')]
    return [root for root in named if not isinstance(root, type)]


def _imports_known_packages(cfg: Config) -> bool:
    """Whether all types of a config are in packages that the index reads."""
    imports = (cfg.get('custom_imports') or {}).get('imports') or []
    names = [imports] if isinstance(imports, str) else imports
    return {str(name).partition('.')[0] for name in names} <= source_index().packages


def _check_type(cfg: Config, kind: object) -> None:
    """Refuse a type that neither the sources nor a registry knows."""
    if not isinstance(kind, str) or not kind.isidentifier():
        return
    if not source_index().mentions(kind) and not _registered(kind):
        raise unknown_type(cfg, kind, source_index().registered)


def _check_arguments(file: str, path: str, node: dict, inherited: set[str]) -> None:
    """Compare a dict's keys with what the classes of its ``type`` take."""
    kind, complaints = node['type'], []
    if isinstance(kind, str):
        found = source_index().arguments(kind.rpartition('.')[2])
        targets = [(arguments.hints, arguments.open_ended) for arguments in found]
    else:
        names, open_ended = accepted_arguments(kind)
        targets, kind = [(dict.fromkeys(names), open_ended)], kind.__name__
    for hints, open_ended in targets:
        try:
            _check_keys(file, path, node, kind, set(hints), open_ended, inherited)
            _check_values(file, kind, path, node, hints)
        except ConfigError as error:
            complaints.append(error)
        else:
            return
    if complaints:
        raise complaints[0]


def _check_keys(
    file: str,
    path: str,
    node: dict,
    kind: str,
    names: set[str],
    open_ended: bool,
    inherited: Container[str] = (),
) -> None:
    """Compare keys with the names of arguments; ``inherited`` ones are known to be a base's."""
    for key in node:
        if key in names or key in _TAKEN_BY_BUILDERS:
            continue
        close = difflib.get_close_matches(key, names, n=1, cutoff=0.8)
        if close or not open_ended:
            fix = f'did you mean `{close[0]}`?' if close else f'it takes {sorted(names)}'
            if key in inherited:
                fix += (
                    f'; a base config sets it: `{path}=dict(_delete_=True, ...)` drops all that '
                    'bases set there'
                )
            raise ConfigError(f'{file}: unknown key `{path}.{key}` of {kind}; {fix}')


def explain_build_error(cfg: Config, error: TypeError | KeyError) -> Exception:
    """Turn a complaint about an argument or a type into one about the config.

    Args:
        cfg: The config that was built from.
        error: Error of a constructor or a registry: it names the constructor and the argument,
            or the type and the registry.

    Returns:
        A :class:`ConfigError` if the error is about an argument or a type, else the error itself.
    """
    if isinstance(error, KeyError):
        return _explain_unknown_type(cfg, error)
    match = re.search(r"(\w+)\.__init__\(\) (got an unexpected|missing).*?'(\w+)'", str(error))
    if match is None:
        return error
    owner, problem, key = match.groups()
    fix = f'add `{key}`'
    if problem != 'missing':
        names = set().union(*(accepted_arguments(t)[0] for t in _registered_below(owner)))
        close = difflib.get_close_matches(key, names - {key}, n=1)
        fix = f'did you mean `{close[0]}`?' if close else f'remove `{key}`'
    places = [path for path in paths_of(cfg.to_dict()) if path.rpartition('.')[2] == key]
    return ConfigError(
        f'{cfg.filename or "config"}: {error}; {fix}'
        + (f' (key {", ".join(f"`{path}`" for path in places)})' if places else '')
    )


def _explain_unknown_type(cfg: Config, error: KeyError) -> Exception:
    """The same for a type that no registry knows."""
    match = re.search(r'(\S+) is not in the (\w+)::([\w ]+) registry', str(error.args[0]))
    if match is None:
        return error
    kind, _, registry = match.groups()
    roots = (root for root in _registries() if root.name == registry)
    return unknown_type(cfg, kind, {name for root in roots for name in root.module_dict})


def unknown_type(cfg: Config, kind: str, names: Iterable[str]) -> ConfigError:
    """The error of a type that is none of ``names``: its places, and the nearest name."""
    close = difflib.get_close_matches(kind.rpartition('.')[2], sorted(names), n=1)
    fix = (
        f'did you mean `{close[0]}`?'
        if close
        else 'name the module that registers it in `custom_imports`'
    )
    places = [
        path
        for key in cfg
        for path, node in typed_dicts(key, cfg[key], below_cfg=True)
        if node['type'] == kind
    ]
    where = f' (key {", ".join(f"`{path}.type`" for path in places)})' if places else ''
    return ConfigError(f'{cfg.filename or "config"}: unknown type `{kind}`; {fix}{where}')


def paths_of(node: object, path: str = '') -> Iterator[str]:
    """Dotted paths of all keys below a node of a config."""
    items: Iterable = node.items() if isinstance(node, dict) else ()
    if isinstance(node, (list, tuple)):
        items = enumerate(node)
    for key, value in items:
        below = f'{path}.{key}' if path else str(key)
        yield below
        yield from paths_of(value, below)
