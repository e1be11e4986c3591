"""The options in the [DEFAULT] section of cinder.conf."""

from oslo_config import cfg

OPTIONS = [
    cfg.StrOpt(
        "septet_repository",
        help="Where backups are stored: a directory that every backup host has mounted, or a URL such as "
        "s3://bucket/prefix.",
    ),
    cfg.StrOpt("septet_binary", default="septet", help="The septet command: a path, or a name to look up in PATH."),
    cfg.StrOpt(
        "septet_environment_file",
        help="A file with lines NAME=VALUE for the environment of septet, such as AWS_ACCESS_KEY_ID. Only its owner "
        "and its group may be able to read it.",
    ),
    cfg.StrOpt(
        "septet_block_size",
        help="The unit that is read, compared and stored, from 64KiB to 4MiB. A change takes effect with the next full "
        "backup.",
    ),
    cfg.IntOpt(
        "septet_streams",
        min=1,
        max=64,
        help="Concurrent reads or writes of one volume. By default septet decides: 4, or for a restore from S3 as many "
        "as it has connections.",
    ),
    cfg.IntOpt(
        "septet_timeout",
        default=120,
        min=1,
        help="A backup or restore fails if the volume or the storage does not answer for this many seconds.",
    ),
    cfg.BoolOpt(
        "septet_independent_backups",
        default=False,
        help="Record incremental backups without their parent. Septet needs no chain to restore one, but Cinder "
        "refuses to delete a backup that is another's parent. With this option any backup can be deleted at any time, "
        "and all are shown as full.",
    ),
]

CONF = cfg.CONF
CONF.register_opts(OPTIONS)
