// A web application in one function: Express by way of serverless-http, the AWS SDK, lodash.
const { S3Client } = require('@aws-sdk/client-s3');
const express = require('express');
const _ = require('lodash');
const serverless = require('serverless-http');

const s3 = new S3Client({ region: 'eu-west-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } });
const app = express();
app.get('*', (req, res) => { res.type('text/plain').send(s3 ? _.toLower('HELLO') : ''); });

exports.handler = serverless(app);
