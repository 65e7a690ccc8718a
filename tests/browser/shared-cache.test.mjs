/** What a shared cache in front of the server may keep (RFC 9111 §3), asked of a library that caches are built on. */

import assert from 'node:assert/strict';
import https from 'node:https';
import { after, before, test } from 'node:test';
import CachePolicy from 'http-cache-semantics';
import { Server, sign } from './support.mjs';

let server;

before(async () => {
  server = await Server.serve();
});

after(() => server?.stop());

/** Asks, as a cache would pass it on; what it may keep of the answer, and for how many seconds. */
function keeps(address, headers = {}, method = 'GET') {
  const url = new URL(address, server.baseUrl);
  return new Promise((resolve, reject) => {
    https.request(url, { method, headers, agent: server.agent }, (response) => {
      response.resume().on('end', () => {
        const { statusCode: status, headers: answered } = response;
        const policy = new CachePolicy({ url: url.pathname, method, headers }, { status, headers: answered }, { shared: true });
        resolve({ status, keeps: policy.storable(), forMs: policy.timeToLive() });
      });
    }).on('error', reject).end();
  });
}

test('a shared cache keeps nothing of a private video', async () => {
  const video = await server.video('private');
  const captions = { authorization: `Bearer ${server.privateKey}`, 'content-type': 'text/vtt' };
  await server.request('PUT', `/admin/v1/videos/${video.videoId}/captions/en`, captions, 'WEBVTT\n\n00:00.000 --> 00:01.000\na\n');
  const token = sign(server.key, video.videoId);
  const { body } = await server.playback(video, token);
  const main = body.playback.uri;
  const api = `/api/v1/embeds/${video.embedId}/playback`;
  const key = { authorization: `Bearer ${server.publishableKey}` };
  const asked = [
    [200, api, { ...key, 'x-moviie-playback-token': token }],
    [401, api, key],
    [403, api, { ...key, 'x-moviie-playback-token': sign(server.key, (await server.video('private')).videoId) }],
    [200, `/embed/${video.embedId}?token=${token}`],
    [401, `/embed/${video.embedId}`],
    [200, main],
    [200, main.replace('master.m3u8', 'manifest.mpd')],
    [200, main.replace('master.m3u8', 'captions/en.vtt')],
    [200, body.variants[0].uri],
    [206, body.variants[0].uri, { range: 'bytes=0-99' }],
    [403, main.replace(/.(?=\/master)/, (last) => (last === 'A' ? 'B' : 'A'))],
    [404, main.replace('master.m3u8', 'none.m3u8')],
    [401, `/oembed?url=${encodeURIComponent(`${server.baseUrl}/embed/${video.embedId}`)}`],
    [200, '/admin/v1/videos', { authorization: `Bearer ${server.privateKey}` }],
  ];
  for (const [status, address, headers] of asked) {
    for (const method of ['GET', 'HEAD']) {
      const found = await keeps(address, headers, method);
      if (method === 'GET') assert.equal(found.status, status, address);
      assert.equal(found.keeps, false, `${method} ${address}: ${JSON.stringify(found)}`);
    }
  }
  // The library does tell what may be kept.
  const open = await server.video('public');
  const told = await keeps(`/oembed?url=${encodeURIComponent(`${server.baseUrl}/embed/${open.embedId}`)}`);
  assert.deepEqual([told.status, told.keeps], [200, true]);
  assert.ok(told.forMs > 0 && told.forMs <= 300_000, `${told.forMs} ms`);
});
