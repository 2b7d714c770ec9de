"""Print a completion script: the shell asks `onggi __complete` for candidates (cli/complete.py)."""

from __future__ import annotations

from onggi.cli.errors import CommandError
from onggi.cli.program import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "bash|zsh|fish|powershell"
ARGUMENTS = (1, 1)
FLAGS = ()

SCRIPTS = {
    "bash": """\
# bash completion for onggi: source <(onggi completion bash)
_onggi_complete() {
    local line word="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(onggi __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$word" 2>/dev/null)
    if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$word"; fi
}
complete -o default -F _onggi_complete onggi
""",
    "zsh": """\
#compdef onggi
# zsh completion for onggi: source <(onggi completion zsh)
_onggi() {
    local -a found
    local line
    while IFS=$'\\t' read -r name summary; do
        found+=("${name//:/\\\\:}:${summary}")
    done < <(onggi __complete "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then _describe 'onggi' found; else _files; fi
}
compdef _onggi onggi
""",
    "fish": """\
# fish completion for onggi: onggi completion fish | source
function __onggi_complete
    set -l words (commandline -opc) (commandline -ct)
    onggi __complete $words[2..-1] 2>/dev/null
end
complete -c onggi -a '(__onggi_complete)'
""",
    "powershell": """\
# PowerShell completion for onggi: onggi completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName onggi -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" })
    if ($wordToComplete -ne '') { $words = @($words | Select-Object -SkipLast 1) }
    onggi __complete @words "$wordToComplete" 2>$null | ForEach-Object {
        $name, $summary = $_ -split "`t", 2
        [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', "$summary ")
    }
}
""",
}


def run(session: Session, flags: Flags, args: list[str]) -> int:
    script = SCRIPTS.get(args[0])
    if script is None:
        raise CommandError(f'unknown shell: "{args[0]}": must be one of "bash", "zsh", "fish", "powershell"')
    session.out(script.rstrip("\n").replace("onggi", NAME))
    return 0
