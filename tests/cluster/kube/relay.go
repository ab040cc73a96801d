package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// The way into a cluster from outside of its network: a connection to `dial.sock` begins with a line `HOST:PORT`, where the host may
// be a name of the cluster's DNS, and is from then on a connection to there. A connection that cannot be made is closed.

func accept(listener net.Listener, serve func(net.Conn)) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(connection)
	}
}

// relay serves a connection of `dial.sock`, inside.
func relay(outer net.Conn) {
	address, err := line(outer)
	if err != nil {
		outer.Close()
		return
	}
	dns := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, nodeAddress+":53")
	}}
	inner, err := (&net.Dialer{Timeout: 5 * time.Second, Resolver: dns}).Dial("tcp", address)
	if err != nil {
		outer.Close()
		return
	}
	join(outer, inner)
}

// line reads to the end of the line, one byte at a time: what follows is not ours.
func line(connection net.Conn) (string, error) {
	var text strings.Builder
	one := make([]byte, 1)
	for text.Len() < 300 {
		if _, err := io.ReadFull(connection, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return text.String(), nil
		}
		text.WriteByte(one[0])
	}
	return "", fmt.Errorf("too long an address")
}

// dialInside connects to an address inside, from outside.
func dialInside(folder, address string) (net.Conn, error) {
	connection, err := net.Dial("unix", filepath.Join(folder, "dial.sock"))
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(connection, address); err != nil {
		connection.Close()
		return nil, err
	}
	return connection, nil
}

// join carries bytes both ways until both have ended.
func join(one, other net.Conn) {
	done := make(chan struct{})
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		// The other direction may go on.
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}
	go carry(one, other)
	go carry(other, one)
	<-done
	<-done
	one.Close()
	other.Close()
}
