"""The Engine API's operations, as one table: method, path, handler ("module:function" of onggi.server.api).

Reads like the API's description, tag by tag. `later:...` answers 501 and names what is missing; `swarm:...`
answers as a dockerd that is in no swarm.
"""

from __future__ import annotations

from onggi.server.router import Entry

SYSTEM: tuple[Entry, ...] = (
    ("GET", "/_ping", "system:ping"),
    ("HEAD", "/_ping", "system:ping"),
    ("GET", "/info", "system:info"),
    ("GET", "/version", "system:version"),
    ("GET", "/events", "system:events"),
    ("GET", "/system/df", "usage:df"),
    ("GET", "/system/prune", "usage:prune_plan"),  # ours alone
    ("GET", "/system/check", "checks:look"),  # ours alone
    ("POST", "/system/check", "checks:repair"),  # ours alone
    ("GET", "/openapi.json", "system:openapi"),
    ("POST", "/auth", "registries:auth"),
)

CONTAINERS: tuple[Entry, ...] = (
    ("GET", "/containers/json", "containers:list_"),
    ("POST", "/containers/create", "containers:create"),
    ("POST", "/containers/prune", "containers:prune"),
    ("GET", "/containers/{id}/json", "containers:inspect"),
    ("GET", "/containers/{id}/learned", "containers:learned"),  # ours alone
    ("GET", "/containers/{id}/top", "watch:top"),
    ("GET", "/containers/{id}/logs", "watch:logs"),
    ("GET", "/containers/{id}/stats", "watch:stats"),
    ("POST", "/containers/{id}/start", "containers:start"),
    ("POST", "/containers/{id}/stop", "containers:stop"),
    ("POST", "/containers/{id}/restart", "containers:restart"),
    ("POST", "/containers/{id}/kill", "containers:kill"),
    ("POST", "/containers/{id}/pause", "containers:pause"),
    ("POST", "/containers/{id}/unpause", "containers:unpause"),
    ("POST", "/containers/{id}/rename", "containers:rename"),
    ("POST", "/containers/{id}/update", "containers:update"),
    ("POST", "/containers/{id}/wait", "containers:wait"),
    ("POST", "/containers/{id}/resize", "streams:resize"),
    ("POST", "/containers/{id}/attach", "streams:attach"),
    ("GET", "/containers/{id}/attach/ws", "streams:attach_websocket"),
    ("DELETE", "/containers/{id}", "containers:remove"),
    ("GET", "/containers/{id}/changes", "files:changes"),
    ("GET", "/containers/{id}/export", "files:export"),
    ("GET", "/containers/{id}/archive", "files:get_archive"),
    ("HEAD", "/containers/{id}/archive", "files:stat_archive"),
    ("PUT", "/containers/{id}/archive", "files:put_archive"),
    ("POST", "/commit", "images:commit"),
    ("GET", "/containers/{id}/checkpoints", "later:checkpoints"),
    ("POST", "/containers/{id}/checkpoints", "later:checkpoints"),
    ("DELETE", "/containers/{id}/checkpoints/{checkpoint}", "later:checkpoints"),
    ("DELETE", "/containers/{id}/{alias}", "containers:remove"),  # web/alias, the name of a link
)

EXEC: tuple[Entry, ...] = (
    ("POST", "/containers/{id}/exec", "streams:exec_create"),
    ("POST", "/exec/{id}/start", "streams:exec_start"),
    ("POST", "/exec/{id}/resize", "streams:exec_resize"),
    ("GET", "/exec/{id}/json", "streams:exec_inspect"),
)

IMAGES: tuple[Entry, ...] = (
    ("GET", "/images/json", "images:list_"),
    ("GET", "/images/get", "images:save_several"),
    ("GET", "/images/search", "registries:search"),
    ("POST", "/images/load", "images:load"),
    ("POST", "/images/prune", "images:prune"),
    ("POST", "/images/create", "images:create"),
    ("POST", "/images/bootstrap", "images:bootstrap"),  # ours alone
    ("GET", "/images/{name}/json", "images:inspect"),
    ("GET", "/images/{name}/diff", "images:diff"),  # ours alone
    ("GET", "/images/mounts", "images:mounts"),  # ours alone, as the next two
    ("POST", "/images/{name}/mount", "images:mount"),
    ("POST", "/images/{name}/unmount", "images:unmount"),
    ("GET", "/images/{name}/history", "images:history"),
    ("GET", "/images/{name}/get", "images:save"),
    ("GET", "/images/{name}/attestations", "images:attestations"),
    ("POST", "/images/{name}/tag", "images:tag"),
    ("POST", "/images/{name}/push", "registries:push"),
    ("DELETE", "/images/{name}", "images:remove"),
    ("GET", "/distribution/{name}/json", "registries:distribution"),
    ("GET", "/distribution/{name}/manifest", "registries:manifest"),  # ours alone
    ("POST", "/distribution/{name}/manifest", "registries:push_list"),  # ours alone
    ("GET", "/distribution/{name}/referrers", "registries:referrers"),  # ours alone
)

VOLUMES: tuple[Entry, ...] = (
    ("GET", "/volumes", "volumes:list_"),
    ("POST", "/volumes/create", "volumes:create"),
    ("POST", "/volumes/prune", "volumes:prune"),
    ("POST", "/volumes/import", "volumes:import_"),  # ours alone, as the next three
    ("GET", "/volumes/{name}/export", "volumes:export"),
    ("POST", "/volumes/{name}/clone", "volumes:clone"),
    ("POST", "/volumes/{name}/rename", "volumes:rename"),
    ("GET", "/volumes/{name}", "volumes:inspect"),
    ("PUT", "/volumes/{name}", "swarm:not_a_manager"),
    ("DELETE", "/volumes/{name}", "volumes:remove"),
)

NETWORKS: tuple[Entry, ...] = (
    ("GET", "/networks", "networks:list_"),
    ("POST", "/networks/create", "networks:create"),
    ("POST", "/networks/prune", "networks:prune"),
    ("GET", "/networks/{id}", "networks:inspect"),
    ("DELETE", "/networks/{id}", "networks:remove"),
    ("POST", "/networks/{id}/connect", "networks:connect"),
    ("POST", "/networks/{id}/disconnect", "networks:disconnect"),
)

BUILD: tuple[Entry, ...] = (
    ("POST", "/build", "build:build"),
    ("POST", "/build/secrets", "build:secrets"),  # ours alone
    ("POST", "/build/context", "build:receive_listing"),  # ours alone
    ("POST", "/build/ssh", "build:agent"),  # ours alone
    ("POST", "/build/cache", "build:receive_cache"),  # ours alone
    ("GET", "/build/cache", "build:send_cache"),  # ours alone
    ("GET", "/build/why", "build:why"),  # ours alone
    ("POST", "/build/failed/{id}/rerun", "build:rerun"),  # ours alone
    ("POST", "/build/failed/{id}/shell", "streams:build_shell"),  # ours alone
    ("POST", "/build/failed/{id}/shell/resize", "streams:build_resize"),  # ours alone
    ("GET", "/build/prune", "build:prune"),  # ours alone
    ("POST", "/build/prune", "build:prune"),
    ("POST", "/build/cancel", "build:cancel"),
    ("POST", "/session", "buildkit:session"),
    ("POST", "/grpc", "buildkit:grpc"),
)

SECRETS: tuple[Entry, ...] = (
    ("GET", "/secrets", "secrets:list_"),
    ("POST", "/secrets/create", "secrets:create"),
    ("GET", "/secrets/{id}", "secrets:inspect"),
    ("DELETE", "/secrets/{id}", "secrets:remove"),
    ("POST", "/secrets/{id}/update", "secrets:update"),
    ("GET", "/configs", "secrets:list_"),
    ("POST", "/configs/create", "secrets:create"),
    ("GET", "/configs/{id}", "secrets:inspect"),
    ("DELETE", "/configs/{id}", "secrets:remove"),
    ("POST", "/configs/{id}/update", "secrets:update"),
)

PLUGINS: tuple[Entry, ...] = (
    ("GET", "/plugins", "later:no_plugins"),
    ("GET", "/plugins/privileges", "later:plugins"),
    ("POST", "/plugins/pull", "later:plugins"),
    ("POST", "/plugins/create", "later:plugins"),
    ("GET", "/plugins/{name}/json", "later:no_such_plugin"),
    ("POST", "/plugins/{name}/enable", "later:no_such_plugin"),
    ("POST", "/plugins/{name}/disable", "later:no_such_plugin"),
    ("POST", "/plugins/{name}/upgrade", "later:no_such_plugin"),
    ("POST", "/plugins/{name}/push", "later:no_such_plugin"),
    ("POST", "/plugins/{name}/set", "later:no_such_plugin"),
    ("DELETE", "/plugins/{name}", "later:no_such_plugin"),
)

SWARM: tuple[Entry, ...] = (
    ("GET", "/swarm", "swarm:not_a_manager"),
    ("POST", "/swarm/init", "later:swarm"),
    ("POST", "/swarm/join", "later:swarm"),
    ("POST", "/swarm/leave", "swarm:not_in_a_swarm"),
    ("POST", "/swarm/update", "swarm:not_a_manager"),
    ("GET", "/swarm/unlockkey", "swarm:not_a_manager"),
    ("POST", "/swarm/unlock", "swarm:not_a_manager"),
    ("GET", "/nodes", "swarm:not_a_manager"),
    ("GET", "/nodes/{id}", "swarm:not_a_manager"),
    ("DELETE", "/nodes/{id}", "swarm:not_a_manager"),
    ("POST", "/nodes/{id}/update", "swarm:not_a_manager"),
    ("GET", "/services", "swarm:not_a_manager"),
    ("POST", "/services/create", "swarm:not_a_manager"),
    ("GET", "/services/{id}", "swarm:not_a_manager"),
    ("DELETE", "/services/{id}", "swarm:not_a_manager"),
    ("POST", "/services/{id}/update", "swarm:not_a_manager"),
    ("GET", "/services/{id}/logs", "swarm:not_a_manager"),
    ("GET", "/tasks", "swarm:not_a_manager"),
    ("GET", "/tasks/{id}", "swarm:not_a_manager"),
    ("GET", "/tasks/{id}/logs", "swarm:not_a_manager"),
)

TABLE: tuple[Entry, ...] = (
    *SYSTEM,
    *CONTAINERS,
    *EXEC,
    *IMAGES,
    *VOLUMES,
    *NETWORKS,
    *BUILD,
    *SECRETS,
    *PLUGINS,
    *SWARM,
)
