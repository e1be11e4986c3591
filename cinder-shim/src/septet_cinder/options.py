"""What an operator can set in the [DEFAULT] section of cinder.conf."""

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
        help="What is read, compared and stored at once, from 64KiB to 4MiB. It counts from the next full backup on.",
    ),
    cfg.IntOpt(
        "septet_streams",
        min=1,
        max=64,
        help="How many reads or writes of one volume go on at once. By default septet decides: 4, and 8 where a "
        "restore comes from S3.",
    ),
    cfg.IntOpt(
        "septet_timeout",
        default=120,
        min=1,
        help="Seconds after which a volume or a storage that does not answer fails a backup or restore.",
    ),
    cfg.BoolOpt(
        "septet_independent_backups",
        default=False,
        help="Record incremental backups without their parent. Septet needs no chain to restore one, but Cinder "
        "refuses to delete a backup that is another's parent. With this, any backup can be deleted at any time, and "
        "all are shown as full.",
    ),
]

CONF = cfg.CONF
CONF.register_opts(OPTIONS)
