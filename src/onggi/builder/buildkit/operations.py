"""The messages of LLB, in the form of messages.py: solver/pb/ops.proto of BuildKit v0.22."""

TABLE = """
Input
    1 digest string
    2 index int64
Op
    1 inputs repeated Input
    2 exec ExecOp
    3 source SourceOp
    4 file FileOp
    5 build Empty
    6 merge MergeOp
    7 diff DiffOp
    10 platform Platform
SourceOp
    1 identifier string
    2 attrs map string
ExecOp
    1 meta ExecMeta
    2 mounts repeated Mount
    3 network int32
    4 security int32
    5 secretenv repeated SecretEnv
    6 cdiDevices repeated CDIDevice
ExecMeta
    1 args repeated string
    2 env repeated string
    3 cwd string
    4 user string
    5 proxy_env ProxyEnv
    6 extraHosts repeated HostIP
    7 hostname string
    9 ulimit repeated Ulimit
    10 cgroupParent string
    12 validExitCodes repeated int32
HostIP
    1 Host string
    2 IP string
Ulimit
    1 Name string
    2 Soft int64
    3 Hard int64
ProxyEnv
    1 http_proxy string
    2 https_proxy string
    3 ftp_proxy string
    4 no_proxy string
    5 all_proxy string
SecretEnv
    1 ID string
    2 name string
    3 optional bool
CDIDevice
    1 name string
    2 optional bool
Mount
    1 input int64
    2 selector string
    3 dest string
    4 output int64
    5 readonly bool
    6 mountType int32
    19 TmpfsOpt TmpfsOpt
    20 cacheOpt CacheOpt
    21 secretOpt SecretOpt
    22 SSHOpt SecretOpt
    24 contentCache int32
TmpfsOpt
    1 size int64
CacheOpt
    1 ID string
    2 sharing int32
SecretOpt
    1 ID string
    2 uid uint32
    3 gid uint32
    4 mode uint32
    5 optional bool
FileOp
    2 actions repeated FileAction
FileAction
    1 input int64
    2 secondaryInput int64
    3 output int64
    4 copy FileActionCopy
    5 mkfile FileActionMkFile
    6 mkdir FileActionMkDir
    7 rm FileActionRm
    8 symlink FileActionSymlink
FileActionCopy
    1 src string
    2 dest string
    3 owner ChownOpt
    4 mode int32
    5 followSymlink bool
    6 dirCopyContents bool
    7 attemptUnpackDockerCompatibility bool
    8 createDestPath bool
    9 allowWildcard bool
    10 allowEmptyWildcard bool
    11 timestamp int64
    12 include_patterns repeated string
    13 exclude_patterns repeated string
    14 alwaysReplaceExistingDestPaths bool
    15 modeStr string
FileActionMkFile
    1 path string
    2 mode int32
    3 data bytes
    4 owner ChownOpt
    5 timestamp int64
FileActionMkDir
    1 path string
    2 mode int32
    3 makeParents bool
    4 owner ChownOpt
    5 timestamp int64
FileActionRm
    1 path string
    2 allowNotFound bool
    3 allowWildcard bool
FileActionSymlink
    1 oldpath string
    2 newpath string
    3 owner ChownOpt
    4 timestamp int64
ChownOpt
    1 user UserOpt
    2 group UserOpt
UserOpt
    1 byName NamedUserOpt
    2 byID uint32
NamedUserOpt
    1 name string
    2 input int64
MergeOp
    1 inputs repeated NumberedInput
DiffOp
    1 lower NumberedInput
    2 upper NumberedInput
NumberedInput
    1 input int64
OpMetadata
    1 ignore_cache bool
    2 description map string
    4 export_cache ExportCache
    6 progress_group ProgressGroup
ExportCache
    1 Value bool
ProgressGroup
    1 id string
    2 name string
    3 weak bool
Definition
    1 def repeated bytes
    2 metadata map OpMetadata
"""
