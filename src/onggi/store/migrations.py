"""The schema of onggi.db, as numbered steps; `PRAGMA user_version` holds the number of the last one taken.

    state       key -> value                              'clean': 1 after an orderly close, 0 while open
    images      id (config digest), manifest digest       one row for each image that the engine knows
                 |-- parent_id        built or committed from (Docker's ParentId); null for a loaded one
                 |-- used_at          when it came, or when a container of it was last started or ended
                 |-- kind             'image', or 'artifact': then the id is the manifest's digest
    names       name (canonical reference) -> image_id    docker.io/library/debian:12, or name@sha256:...
                 |-- target           the index that the name stands for; '' where it is one manifest
    indexes     (digest, blob)                            what an index needs besides its images: itself,
                                                          those in it, attestations; while it has a name
    members     (digest, manifest) -> image_id            the images of an index that are here
    holders     name -> image_id                          a view: every image that a name keeps
    blobs       (image_id, digest)                        of each image: manifest, configuration, layers
    stacks      (image_id, position) -> chain_id          the layers of each image, bottom first
    elsewhere   digest -> size, name                      packed layers that only a registry has now
    image_mounts  image_id -> uses                        images mounted for the host's programs
    layers      chain_id, also the key of its snapshot    an unpacked layer
                 |-- diff_id, parent (chain id), size     bytes unpacked; blob: the packed form that came
    snapshots   key -> id (the short directory name)      the owner row of each directory in snapshots/
                 |-- parent key, kind committed|active, state making|ready|removing
    containers  id, name unique -> record                 record is msgspec JSON of engine/record.py
    volumes     name -> record
    networks    id, name unique -> record
    endpoints   id -> record                              a container's place in a network
    secrets     id, (kind secret|config, name) unique     what is sealed in it: sealing.py
    roots       (owner, kind, target)                     what else gc must keep: a build cache, a lease
    cache       id, kind, state -> record                 the build cache: a step's result, or a directory
                 |-- tree (the directory below build/), size on disk, boot (until its files are synced)
    cache_keys  key -> record_id                          every key under which a result is found
    id_ranges   owner (container id) -> first, count      ids of the host for one user namespace
    projects    owner (container id, volume/NAME) -> id, bytes      a disk quota of the file system
    cache_outputs (record_id, output) -> chain_id         the layers that a result ends in; '' is no layer
    build_history ref -> record                           builds by BuildKit's door; ended_at 0: it runs
    build_history_blobs (ref, digest) -> data             what a record names: logs, provenance, manifests

A step is never edited once released: a change is a new step at the end, with a test that opens the old file.
"""

from __future__ import annotations

FIRST = """
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE images (
    id TEXT PRIMARY KEY,
    manifest TEXT NOT NULL,
    parent_id TEXT,
    created_at INTEGER NOT NULL,
    tagged_at INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX images_manifest ON images (manifest);
CREATE INDEX images_parent ON images (parent_id);

CREATE TABLE names (
    name TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES images (id),
    digest TEXT NOT NULL
);
CREATE INDEX names_image ON names (image_id);

CREATE TABLE blobs (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (image_id, digest)
) WITHOUT ROWID;
CREATE INDEX blobs_digest ON blobs (digest);

CREATE TABLE stacks (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    chain_id TEXT NOT NULL REFERENCES layers (chain_id),
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX stacks_chain ON stacks (chain_id);

CREATE TABLE snapshots (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    parent TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('committed', 'active')),
    state TEXT NOT NULL CHECK (state IN ('making', 'ready', 'removing')),
    owner TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX snapshots_parent ON snapshots (parent);

CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY,
    parent TEXT,
    diff_id TEXT NOT NULL,
    blob TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX layers_parent ON layers (parent);

CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    image_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX containers_image ON containers (image_id);

CREATE TABLE volumes (
    name TEXT PRIMARY KEY,
    driver TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    record BLOB NOT NULL
);

CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    record BLOB NOT NULL
);

CREATE TABLE endpoints (
    id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES networks (id),
    container_id TEXT NOT NULL,
    record BLOB NOT NULL,
    UNIQUE (network_id, container_id)
);
CREATE INDEX endpoints_container ON endpoints (container_id);

CREATE TABLE roots (
    owner TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('blob', 'snapshot', 'image')),
    target TEXT NOT NULL,
    PRIMARY KEY (owner, kind, target)
) WITHOUT ROWID;
"""

LAST_USE = """
ALTER TABLE images ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
UPDATE images SET used_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000000000;
"""

BUILD_CACHE = """
CREATE TABLE cache (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('making', 'ready', 'removing')),
    tree TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    size INTEGER NOT NULL,
    boot TEXT NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX cache_used ON cache (used_at);

CREATE TABLE cache_keys (
    key TEXT PRIMARY KEY,
    record_id TEXT NOT NULL REFERENCES cache (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX cache_keys_record ON cache_keys (record_id);

CREATE TABLE cache_outputs (
    record_id TEXT NOT NULL REFERENCES cache (id) ON DELETE CASCADE,
    output INTEGER NOT NULL,
    chain_id TEXT NOT NULL,
    PRIMARY KEY (record_id, output)
) WITHOUT ROWID;
CREATE INDEX cache_outputs_chain ON cache_outputs (chain_id);
"""

SECRETS = """
CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('secret', 'config')),
    name TEXT NOT NULL,
    record BLOB NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (kind, name)
) WITHOUT ROWID;
"""

PLATFORMS = """
ALTER TABLE images ADD COLUMN kind TEXT NOT NULL DEFAULT 'image';
ALTER TABLE names ADD COLUMN target TEXT NOT NULL DEFAULT '';
CREATE INDEX names_target ON names (target);

CREATE TABLE indexes (
    digest TEXT NOT NULL,
    blob TEXT NOT NULL,
    PRIMARY KEY (digest, blob)
) WITHOUT ROWID;

CREATE TABLE members (
    digest TEXT NOT NULL,
    manifest TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (digest, manifest)
) WITHOUT ROWID;
CREATE INDEX members_image ON members (image_id);

CREATE VIEW holders AS
    SELECT name, image_id AS held, image_id, digest, target FROM names
    UNION
    SELECT n.name, m.image_id AS held, n.image_id, n.digest, n.target
    FROM names n JOIN members m ON m.digest = n.target WHERE n.target != '';
"""

ID_RANGES = """
CREATE TABLE id_ranges (
    owner TEXT PRIMARY KEY,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL
) WITHOUT ROWID;
"""

IMAGE_MOUNTS = """
CREATE TABLE image_mounts (
    image_id TEXT PRIMARY KEY,
    uses INTEGER NOT NULL
) WITHOUT ROWID;
"""

ELSEWHERE = """
CREATE TABLE elsewhere (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    name TEXT NOT NULL
) WITHOUT ROWID;
"""

BUILD_HISTORY = """
CREATE TABLE build_history (
    ref TEXT PRIMARY KEY,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    pinned INTEGER NOT NULL,
    size INTEGER NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE build_history_blobs (
    ref TEXT NOT NULL REFERENCES build_history (ref) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (ref, digest)
);
CREATE INDEX build_history_blobs_digest ON build_history_blobs (digest);
"""

# A container that asked for none said "runc", and was run by the engine's own runtime.
OWN_RUNTIME = """
UPDATE containers
SET record = CAST(json_set(CAST(record AS TEXT), '$.host_config.Runtime', 'onggi') AS BLOB)
WHERE json_extract(CAST(record AS TEXT), '$.host_config.Runtime') IN ('runc', 'io.containerd.runc.v2');
"""

PROJECTS = """
CREATE TABLE projects (
    owner TEXT PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;
"""

STEPS: tuple[str, ...] = (
    FIRST,
    LAST_USE,
    BUILD_CACHE,
    SECRETS,
    PLATFORMS,
    ID_RANGES,
    IMAGE_MOUNTS,
    ELSEWHERE,
    BUILD_HISTORY,
    OWN_RUNTIME,
    PROJECTS,
)
