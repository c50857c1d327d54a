const { S3Client } = require('@aws-sdk/client-s3');
const express = require('express');
const lodash = require('lodash');

exports.handler = async () => [typeof S3Client, typeof express.Router, lodash.VERSION];
