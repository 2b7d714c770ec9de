// Solves definitions that BuildKit's own client package makes, on an engine's /grpc and /session.
//
//	llb SOCKET CASE NAME [key=value...]
//
// The result is pushed to the store as NAME; a failure is printed, and 1 the exit status.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/tonistiigi/fsutil"
)

func upgraded(ctx context.Context, socket, path string, meta map[string][]string) (net.Conn, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, "POST", "http://engine"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header(meta).Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "h2c")
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return early{conn, reader}, nil
}

type early struct {
	net.Conn
	reader *bufio.Reader
}

func (e early) Read(data []byte) (int, error) { return e.reader.Read(data) }

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, socket, name, target string, words []string) error {
	values := map[string]string{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		values[key] = value
	}
	state, ok := cases[name]
	if !ok {
		return fmt.Errorf("no case %s", name)
	}
	definition, err := state(values).Marshal(ctx, llb.LinuxAmd64)
	if err != nil {
		return err
	}
	c, err := client.New(ctx, "", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return upgraded(ctx, socket, "/grpc", nil)
	}), client.WithSessionDialer(func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
		return upgraded(ctx, socket, "/session", meta)
	}))
	if err != nil {
		return err
	}
	defer c.Close()
	options := client.SolveOpt{
		Exports: []client.ExportEntry{{Type: "image", Attrs: map[string]string{"name": target}}},
	}
	options.Session = append(options.Session, secretsprovider.FromMap(map[string][]byte{"s": []byte("hush")}))
	if values["dir"] != "" {
		mount, err := fsutil.NewFS(values["dir"])
		if err != nil {
			return err
		}
		options.LocalMounts = map[string]fsutil.FS{"dir": mount}
	}
	statuses := make(chan *client.SolveStatus)
	go func() {
		for range statuses {
		}
	}()
	_, err = c.Solve(ctx, definition, options, statuses)
	return err
}

var base = llb.Image("docker.io/library/busybox:test")

func sh(state llb.State, command string, options ...llb.RunOption) llb.ExecState {
	return state.Run(append([]llb.RunOption{llb.Args([]string{"/bin/sh", "-c", command})}, options...)...)
}

var cases = map[string]func(map[string]string) llb.State{
	"image": func(map[string]string) llb.State { return base },
	"local": func(v map[string]string) llb.State {
		local := llb.Local("dir", llb.IncludePatterns([]string{"kept", "deep"}), llb.ExcludePatterns([]string{"deep/left"}), llb.SharedKeyHint("x"))
		return base.File(llb.Copy(local, "/", "/of"))
	},
	"follow": func(v map[string]string) llb.State {
		return base.File(llb.Copy(llb.Local("dir", llb.FollowPaths([]string{"link"})), "/", "/of"))
	},
	"git": func(v map[string]string) llb.State {
		return base.File(llb.Copy(llb.Git(v["url"], v["ref"], llb.KeepGitDir()), "/", "/of"))
	},
	"http": func(v map[string]string) llb.State {
		return base.File(llb.Copy(llb.HTTP(v["url"], llb.Filename("named"), llb.Chmod(0o640), llb.Chown(7, 8)), "/named", "/of"))
	},
	"exec": func(map[string]string) llb.State {
		run := sh(base.Dir("/tmp").AddEnv("A", "b").User("7:8").Hostname("named").AddExtraHost("other", net.ParseIP("10.1.2.3")),
			"echo $A $(pwd) $(id -u):$(id -g) $(hostname) $(grep other /etc/hosts) $(ulimit -n) > /tmp/out", llb.AddUlimit(llb.UlimitNofile, 100, 200))
		return run.Root()
	},
	"mounts": func(map[string]string) llb.State {
		other := sh(base, "mkdir /x; echo other > /x/f").Root()
		run := sh(base, "cat /o/f /run/s > /out; echo $E >> /out; echo new > /w/f; df -k /t | tail -1 | awk '{print $2}' >> /out; echo n >> /c/n; touch /r/x 2>/dev/null || echo read-only >> /out",
			llb.AddMount("/t", llb.Scratch(), llb.Tmpfs(llb.TmpfsSize(1<<20))),
			llb.AddMount("/c", llb.Scratch(), llb.AsPersistentCacheDir("kept", llb.CacheMountLocked)),
			llb.AddMount("/r", other, llb.Readonly),
			llb.AddSecret("/run/s", llb.SecretID("s")), llb.AddSecretWithDest("s", nil),
			llb.AddSecret("E", llb.SecretID("s"), llb.SecretAsEnv(true)),
			llb.AddMount("/o", other, llb.SourcePath("/x"), llb.Readonly))
		written := run.AddMount("/w", other, llb.SourcePath("/x"))
		return run.Root().File(llb.Copy(written, "/x/f", "/written"))
	},
	"codes": func(map[string]string) llb.State {
		return sh(base, "echo seven > /out; exit 7", llb.ValidExitCodes(0, 7)).Root()
	},
	"none": func(map[string]string) llb.State {
		return sh(base, "ls /sys/class/net > /out", llb.Network(llb.NetModeNone)).Root()
	},
	"files": func(map[string]string) llb.State {
		made := base.File(llb.Mkdir("/d/e", 0o750, llb.WithParents(true), llb.WithUIDGID(7, 8)).
			Mkfile("/d/f", 0o640, []byte("text"), llb.WithUser("root")).
			Symlink("/d/f", "/d/link").
			Mkfile("/d/gone", 0o600, nil).Mkfile("/d/a.x", 0o600, nil).Mkfile("/d/b.x", 0o600, nil)).
			File(llb.Rm("/d/gone").Rm("/d/*.x", llb.WithAllowWildcard(true)).Rm("/d/never", llb.WithAllowNotFound(true)))
		return base.File(llb.Copy(made, "/d", "/all", &llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true, ExcludePatterns: []string{"e"}}).
			Copy(made, "/d", "/some", &llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true, IncludePatterns: []string{"f"}}).
			Copy(made, "/d/f*", "/wild/", &llb.CopyInfo{AllowWildcard: true, CreateDestPath: true}).
			Copy(made, "/d/link", "/followed", &llb.CopyInfo{FollowSymlinks: true}))
	},
	"merge": func(map[string]string) llb.State {
		one := llb.Scratch().File(llb.Mkfile("/one", 0o644, []byte("1")).Mkfile("/both", 0o644, []byte("1")))
		two := llb.Scratch().File(llb.Mkfile("/two", 0o644, []byte("2")).Mkfile("/both", 0o644, []byte("2")))
		return llb.Merge([]llb.State{base, one, two})
	},
	"diff": func(map[string]string) llb.State {
		changed := sh(base, "echo more > /more; rm /bin/true").Root()
		return llb.Merge([]llb.State{base, llb.Diff(base, changed)})
	},
	// what is wrong
	"up": func(map[string]string) llb.State {
		return base.File(llb.Mkfile("/../../../../escaped", 0o600, []byte("x")))
	},
	"copy-up": func(map[string]string) llb.State { return base.File(llb.Copy(base, "/../../../etc/hostname", "/out")) },
	"link-out": func(map[string]string) llb.State {
		return sh(base, "ln -s /../../../../tmp /l").Root().File(llb.Mkfile("/l/escaped", 0o600, []byte("x")))
	},
	"missing": func(map[string]string) llb.State { return base.File(llb.Copy(base, "/no/such", "/x")) },
	"absent":  func(map[string]string) llb.State { return llb.Local("nobody") },
	"fails":   func(map[string]string) llb.State { return sh(base, "echo last words; exit 9").Root() },
	"insecure": func(map[string]string) llb.State {
		return sh(base, "true", llb.Security(llb.SecurityModeInsecure)).Root()
	},
	"selector": func(map[string]string) llb.State {
		return sh(base, "ls /m > /out", llb.AddMount("/m", base, llb.SourcePath("/../../../../../etc"), llb.Readonly)).Root()
	},
	"mount-up": func(map[string]string) llb.State {
		return sh(base, "true", llb.AddMount("/../../../../tmp/onggi-escaped", llb.Scratch())).Root()
	},
	"cwd-up":        func(map[string]string) llb.State { return sh(base.Dir("/../../../.."), "pwd > /out").Root() },
	"no-user":       func(map[string]string) llb.State { return sh(base.User("nobody-here"), "true").Root() },
	"image-missing": func(map[string]string) llb.State { return llb.Image("127.0.0.1:1/none:1") },
	"http-missing":  func(map[string]string) llb.State { return llb.HTTP("http://127.0.0.1:1/x") },
	"deep": func(map[string]string) llb.State {
		state := llb.Scratch()
		for number := range 3000 {
			state = state.File(llb.Mkfile("/f", 0o600, []byte(fmt.Sprint(number))))
		}
		return base.File(llb.Copy(state, "/f", "/f"))
	},
}
