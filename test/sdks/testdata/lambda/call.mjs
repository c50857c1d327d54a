// What AWS's own client makes of the Invoke API at the URL that is the first argument: one JSON line.
import { InvokeCommand, InvokeWithResponseStreamCommand, LambdaClient } from '@aws-sdk/client-lambda';

const client = new LambdaClient({
  endpoint: process.argv[2], region: 'us-east-1', maxAttempts: 1, credentials: { accessKeyId: 'x', secretAccessKey: 'x' },
});

async function streamed(FunctionName) {
  const { StatusCode, EventStream } = await client.send(new InvokeWithResponseStreamCommand({ FunctionName, Payload: '{}' }));
  const chunks = [];
  let end;
  for await (const event of EventStream) {
    if (event.PayloadChunk) chunks.push(Buffer.from(event.PayloadChunk.Payload));
    else end = event.InvokeComplete;
  }
  return { status: StatusCode, payload: Buffer.concat(chunks).toString(), error: end.ErrorCode };
}

async function whole(FunctionName) {
  const { StatusCode, Payload, FunctionError } = await client.send(new InvokeCommand({ FunctionName, Payload: '{}' }));
  return { status: StatusCode, payload: Buffer.from(Payload).toString(), error: FunctionError };
}

const out = {};
for (const name of ['plain', 'streaming', 'failing']) out[name] = { whole: await whole(name), streamed: await streamed(name) };
console.log(JSON.stringify(out));
