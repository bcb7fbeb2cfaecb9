package main

import (
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	egresslib "github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
)

// storage is where an output goes: an S3-compatible store, or the worker's disk if there is no upload.
type storage struct {
	s3 *livekit.S3Upload
}

func storageOf(upload egresslib.UploadRequest) storage {
	return storage{upload.GetS3()}
}

// location of a stored file.
func (s storage) location(path string) string {
	if s.s3 == nil {
		return path
	}
	if s.s3.Endpoint != "" {
		return fmt.Sprintf("%s/%s/%s", strings.TrimSuffix(s.s3.Endpoint, "/"), s.s3.Bucket, path)
	}
	return fmt.Sprintf("https://%s.s3.amazonaws.com/%s", s.s3.Bucket, path)
}

// put stores a file. curl signs the request (AWS Signature Version 4); it reads the secret from its standard input.
func (s storage) put(file, path string) error {
	region := s.s3.Region
	if region == "" {
		region = "us-east-1"
	}
	target := s.location((&url.URL{Path: path}).EscapedPath())
	command := exec.Command("curl", "--silent", "--show-error", "--fail", "--config", "-", "--upload-file", file,
		"--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--header", "content-type: "+contentType(path), target)
	command.Stdin = strings.NewReader(fmt.Sprintf("aws-sigv4 = \"aws:amz:%s:s3\"\nuser = \"%s:%s\"\n", region,
		s.s3.AccessKey, s.s3.Secret))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("upload of %s: %w: %s", path, err, output)
	}
	return nil
}

func contentType(path string) string {
	switch filepath.Ext(path) {
	case ".mp4":
		return "video/mp4"
	case ".ogg":
		return "audio/ogg"
	case ".m3u8":
		return "application/x-mpegURL"
	case ".ts":
		return "video/mp2t"
	}
	return "application/octet-stream"
}

// folderUpload stores the files of a folder, again when they change.
type folderUpload struct {
	storage storage
	folder  string
	stored  map[string]time.Time
	// live is the path of the live playlist, or empty.
	live string
}

// run stores changes each second until stop is closed.
func (u *folderUpload) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
			if err := u.sync(); err != nil {
				log.Print(err)
			}
		}
	}
}

// sync stores what has changed. The playlist is copied before the segments are listed, so that it names none that is
// missing in the store.
func (u *folderUpload) sync() error {
	playlists, err := u.changed(true)
	if err != nil {
		return err
	}
	copies := map[string][]byte{}
	for _, name := range playlists {
		if copies[name], err = os.ReadFile(filepath.Join(u.folder, name)); err != nil {
			return err
		}
	}
	segments, err := u.changed(false)
	if err != nil {
		return err
	}
	for _, name := range segments {
		if err := u.storage.put(filepath.Join(u.folder, name), name); err != nil {
			return err
		}
	}
	for name, content := range copies {
		if err := u.putContent(content, name); err != nil {
			return err
		}
		if u.live == "" {
			continue
		}
		if err := u.putContent(livePlaylist(content), u.live); err != nil {
			return err
		}
	}
	return nil
}

// livePlaylist returns a playlist with the newest five segments of one that has all of them, as LiveKit's program does.
func livePlaylist(all []byte) []byte {
	var segments []string
	head, info, end := "", "", ""
	for _, line := range strings.SplitAfter(string(all), "\n") {
		switch {
		case strings.HasPrefix(line, "#EXT-X-PLAYLIST-TYPE"), strings.HasPrefix(line, "#EXT-X-MEDIA-SEQUENCE"):
		case strings.HasPrefix(line, "#EXTINF"):
			info = line
		case info != "":
			segments, info = append(segments, info+line), ""
		case strings.HasPrefix(line, "#EXT-X-ENDLIST"):
			end = line
		default:
			head += line
		}
	}
	first := max(0, len(segments)-5)
	sequence := fmt.Sprintf("#EXT-X-MEDIA-SEQUENCE:%d\n", first)
	return []byte(head + sequence + strings.Join(segments[first:], "") + end)
}

// changed returns the playlists or segments that were changed since the last call. ffmpeg renames finished files.
func (u *folderUpload) changed(playlists bool) ([]string, error) {
	var names []string
	err := filepath.Walk(u.folder, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || strings.HasSuffix(path, ".tmp") ||
			strings.HasSuffix(path, ".m3u8") != playlists || u.stored[path].Equal(info.ModTime()) {
			return err
		}
		u.stored[path] = info.ModTime()
		name, err := filepath.Rel(u.folder, path)
		names = append(names, name)
		return err
	})
	return names, err
}

func (u *folderUpload) putContent(content []byte, name string) error {
	file, err := os.CreateTemp("", "playlist")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return u.storage.put(file.Name(), name)
}
