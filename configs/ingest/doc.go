// Package ingest knows how a stream gets to the platform. [Contribution.URL] writes a publishing
// URL from its parts; [Parse] takes any publishing URL apart, so that each encoder can be told in
// the way that it understands, and nobody is shown the token. Nothing else in oncue knows how these
// URLs are built.
//
// The platform's forms, from its documentation (broadcast/rtmp-and-rtmps, srt, webrtc-and-whip,
// publishing-parameters, redundant-ingest, distribution/multi-region-support):
//
//	rtmps://rtmp-REGION.millicast.com:443/v2/pub/STREAM?token=HEX&sourceId=ID&priority=N&simulcastId
//	rtmp://rtmp-REGION.millicast.com:1935/v2/pub/STREAM?token=HEX…
//	srt://srt-REGION.millicast.com:10000?streamid=ID, where ID is, escaped once,
//	    STREAM?t=BASE64URL&sourceId=ID&priority=N
//	https://director.millicast.com/api/whip/STREAM?sourceId=ID&priority=N, token as bearer or auth=
//
// One picture in several qualities is several contributions, each with a source of its own, which
// [Layers] joins by their simulcastId.
//
// Two contributions with the same stream and source are told apart by their priority: the highest
// is shown, and one without any has the lowest. Of two with the same priority the newer one
// replaces the older.
package ingest
